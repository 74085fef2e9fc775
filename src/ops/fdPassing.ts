// send_fds and recv_fds: their arguments as arguments of sendmsg and recvmsg, and the result.

import type { Address } from "../addr/index.js";
import { checkOptions, integer } from "../check/index.js";
import {
  CMSG_LEN,
  type ControlToSend,
  descriptorsOf,
  type HasFileno,
  type Message,
  ReceivedDescriptors,
} from "../cmsg/index.js";
import { calls } from "../sys/calls.js";
import { TRANSFER_NAMES } from "./flags.js";

/** More than SCM_MAX_FD, the limit of the kernel for one message. */
const MOST_FDS = 1 << 16;

const SEND_FDS_NAMES: readonly string[] = [...TRANSFER_NAMES, "address"];

/** The options of the `sendmsg` that `send_fds` calls. */
export function withFds<O>(
  fds: readonly (number | HasFileno)[],
  opts: O | undefined,
): O & { readonly control: readonly ControlToSend[] } {
  // In Python a number here would be flags. A copy of a number is an empty object, so the mistake would pass.
  checkOptions(opts, "send_fds", SEND_FDS_NAMES);
  return { ...(opts as O), control: [{ type: "SCM_RIGHTS", fds }] };
}

/** The options of the `recvmsg` that `recv_fds` calls. */
export function withRoomForFds<O>(maxfds: number, opts: O | undefined): O & { readonly controlSize: number } {
  checkOptions(opts, "recv_fds", TRANSFER_NAMES);
  const most = integer(maxfds, "recv_fds", "maxfds", 0, MOST_FDS);
  // CMSG_LEN, not CMSG_SPACE: the kernel would deliver one more descriptor in the padding.
  return { ...(opts as O), controlSize: most === 0 ? 0 : CMSG_LEN(4 * most) };
}

/** The result of `recv_fds`: data, descriptors, flags, address. */
export type DataWithFds = [data: Buffer, fds: ReceivedDescriptors, flags: number, address: Address | undefined];

export function fdsOf(message: Message): DataWithFds {
  const rights = message.control.flatMap((one) => (one.type === "SCM_RIGHTS" ? [one.fds] : []));
  const fds = ReceivedDescriptors.join(rights, calls);
  for (const other of message.control) if (other.type !== "SCM_RIGHTS") descriptorsOf(other)?.close();
  return [message.data, fds, message.flags, message.address];
}
