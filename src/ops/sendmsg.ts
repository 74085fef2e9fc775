// sendmsg: data with flags, an address and control data.

import { isUint8Array } from "node:util/types";
import { type AddressLike, AF_UNIX, toAddress } from "../addr/index.js";
import { bytesToSend, type Sendable, totalLength } from "../check/index.js";
import { type ControlToSend, encodeControl, type EncodedControl } from "../cmsg/index.js";
import { type Operation, operation } from "../reactor/operation.js";
import { IOV_MAX, SOCK_STREAM } from "../sys/constants.js";
import { EBADF, EFAULT } from "../sys/errno.js";
import { addressDetails } from "../sys/sockaddr.js";
import { noteHandshake, withoutFastOpen, type FastOpenState } from "./fastOpen.js";
import { sendFlagsOf, TRANSFER_NAMES, type TransferOptions } from "./flags.js";
import { isNonblocking } from "./recv.js";
import type { AddressOperand, Mode, Outcome, Runner } from "./runner.js";

/** Options of `sendmsg`. */
export interface SendmsgOptions extends TransferOptions {
  /** The destination; without it the peer of the connection. */
  readonly address?: AddressLike | undefined;
  /** Control data, in order: `[{ type: "IP_TTL", ttl: 1 }]`. */
  readonly control?: readonly ControlToSend[] | undefined;
}

interface MessageToSend extends FastOpenState, AddressOperand {
  readonly parts: readonly Uint8Array[];
  /** The number of bytes of the parts. */
  readonly total: number;
  readonly control: EncodedControl | null;
}

export const SENDMSG: Operation<MessageToSend, number, number> = operation<MessageToSend, number, number>({
  syscall: "sendmsg",
  movesBytes: true,
  attempt: (calls, fd, message, flags) => {
    const { parts, total, sockaddr, control } = message;
    // A socket in the control data may have been closed since sendmsg() was called.
    if (control !== null && !control.refreshDescriptors()) return EBADF;
    // The views were detached or have shrunk since they were checked.
    if (totalLength(parts) !== total) return EFAULT;
    const controlBytes = control === null ? null : control.bytes;
    if (message.handshaking) return calls.sendmsg(fd, parts, 0, withoutFastOpen(flags), null, controlBytes);
    const result = calls.sendmsg(fd, parts, 0, flags, sockaddr, controlBytes);
    return noteHandshake(result, message, flags);
  },
  complete: (count) => count,
  isNonblocking,
  details: ({ address }) => addressDetails(address),
});

function controlOf(
  { family, type }: Runner<Mode>,
  controlMessages: readonly ControlToSend[] | undefined,
  total: number,
): EncodedControl | null {
  if (controlMessages === undefined) return null;
  const control = encodeControl(controlMessages);
  if (control.hasDescriptors) {
    // IP sockets ignore SCM_RIGHTS (__sock_cmsg_send in net/core/sock.c): they send the data and return success.
    if (family !== AF_UNIX) {
      throw new TypeError("Cannot sendmsg: control has descriptors, required a UNIX socket to pass them");
    }
    // unix(7): descriptors are sent only with bytes. Without bytes a stream socket sends nothing and returns success.
    if (total === 0 && type === SOCK_STREAM) {
      throw new RangeError(
        "Cannot sendmsg: data are empty, required at least one byte to pass descriptors over a stream",
      );
    }
  }
  return control.bytes.length === 0 ? null : control;
}

const SENDMSG_NAMES: readonly string[] = [...TRANSFER_NAMES, "address", "control"];

export function sendmsg<M extends Mode>(
  socket: Runner<M>,
  data: Sendable,
  opts: SendmsgOptions | undefined,
): Outcome<M, number> {
  try {
    const bytes = bytesToSend(data, "sendmsg");
    const flags = sendFlagsOf(opts, "sendmsg", SENDMSG_NAMES);
    const total = totalLength(bytes);
    let parts = isUint8Array(bytes) ? [bytes] : bytes;
    // A message must be sent in one call, and sendmsg(2) takes at most IOV_MAX parts.
    if (parts.length > IOV_MAX) parts = [Buffer.concat(parts)];
    const control = controlOf(socket, opts?.control, total);
    const target = opts?.address === undefined ? undefined : toAddress(opts.address);
    const message: MessageToSend = { parts, total, control, target, address: undefined, sockaddr: null };
    return socket.sendTo(SENDMSG, message, flags, opts);
  } catch (error) {
    return socket.fail(error);
  }
}
