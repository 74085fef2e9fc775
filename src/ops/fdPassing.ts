// send_fds and recv_fds are sendmsg and recvmsg with SCM_RIGHTS. This file makes the options of sendmsg and recvmsg,
// and the result of recv_fds.

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

/** The largest `maxfds`. The kernel allows fewer descriptors in one message (SCM_MAX_FD). */
const MAX_FDS = 1 << 16;

const SEND_FDS_NAMES: readonly string[] = [...TRANSFER_NAMES, "address"];

/** The options of the `sendmsg` that `send_fds` calls. */
export function sendmsgOptions<O>(
  fds: readonly (number | HasFileno)[],
  opts: O | undefined,
): O & { readonly control: readonly ControlToSend[] } {
  // In Python the flags, a number, are in the place of `opts`. The spread of a number is an empty object. So without
  // this check such flags would be ignored.
  checkOptions(opts, "send_fds", SEND_FDS_NAMES);
  return { ...(opts as O), control: [{ type: "SCM_RIGHTS", fds }] };
}

/** The options of the `recvmsg` that `recv_fds` calls. */
export function recvmsgOptions<O>(maxfds: number, opts: O | undefined): O & { readonly controlSize: number } {
  checkOptions(opts, "recv_fds", TRANSFER_NAMES);
  const max = integer(maxfds, "recv_fds", "maxfds", 0, MAX_FDS);
  // With CMSG_SPACE the kernel would put one more descriptor into the padding, which has 4 bytes if `max` is odd.
  return { ...(opts as O), controlSize: max === 0 ? 0 : CMSG_LEN(4 * max) };
}

/** The result of `recv_fds`. */
export type DataWithFds = [data: Buffer, fds: ReceivedDescriptors, flags: number, address: Address | undefined];

/** The result of `recv_fds` for a received message. Closes descriptors that are not from SCM_RIGHTS (SCM_PIDFD). */
export function dataWithFds(message: Message): DataWithFds {
  const rights = message.control.flatMap((control) => (control.type === "SCM_RIGHTS" ? [control.fds] : []));
  const fds = ReceivedDescriptors.join(rights, calls);
  for (const control of message.control) if (control.type !== "SCM_RIGHTS") descriptorsOf(control)?.close();
  return [message.data, fds, message.flags, message.address];
}
