// Decodes the bytes of control data to typed messages.

import type { Calls } from "../sys/calls.js";
import { SCM_PIDFD, SCM_RIGHTS, SOL_SOCKET } from "../sys/constants.js";
import { LITTLE, view } from "../sys/nativeInts.js";
import type { Codec } from "./codec.js";
import { ReceivedDescriptors } from "./descriptors.js";
import { ERROR_CODECS } from "./errorQueueMessages.js";
import { IP_CODECS } from "./ipMessages.js";
import { eachMessage } from "./layout.js";
import { SOCKET_CODECS } from "./socketMessages.js";
import { TRANSPORT_CODECS } from "./transportMessages.js";
import type { ControlMessage } from "./types.js";

export const CODECS: readonly Codec[] = [...SOCKET_CODECS, ...IP_CODECS, ...TRANSPORT_CODECS, ...ERROR_CODECS];

const byLevel = new Map<number, Map<number, Codec>>();
for (const codec of CODECS) {
  if (codec.decode === undefined) continue;
  const kinds = byLevel.get(codec.level) ?? new Map<number, Codec>();
  byLevel.set(codec.level, kinds.set(codec.cmsg, codec));
}

/** The descriptors in the data. -1 is a descriptor that the kernel could not pass. */
function descriptors(data: Uint8Array, calls: Calls): ReceivedDescriptors {
  const input = view(data);
  const fds: number[] = [];
  for (let at = 0; at + 4 <= data.length; at += 4) {
    const fd = input.getInt32(at, LITTLE);
    if (fd >= 0) fds.push(fd);
  }
  return new ReceivedDescriptors(fds, calls);
}

/** @param cut whether the kernel may have had more data than these */
function decodeOne(level: number, type: number, data: Uint8Array, cut: boolean, calls: Calls): ControlMessage {
  if (level === SOL_SOCKET) {
    const some = data.length >= 4;
    if (type === SCM_RIGHTS && (some || data.length === 0)) {
      return { type: "SCM_RIGHTS", fds: descriptors(data, calls) };
    }
    if (type === SCM_PIDFD && some) return { type: "SCM_PIDFD", pidfd: descriptors(data, calls) };
  }
  const codec = byLevel.get(level)?.get(type);
  if (codec !== undefined && !(cut && data.length < (codec.whole ?? 0))) {
    // Each codec returns one member of the union; the types of the codec table do not say which.
    const decoded = codec.decode!(data) as ControlMessage | undefined;
    if (decoded !== undefined) return decoded;
  }
  return { level, type, data: data.slice() };
}

/**
 * The messages in the first `length` bytes of control data. It never throws and keeps no view of the bytes.
 *
 * @param calls the calls that close received descriptors
 * @param truncated whether the kernel returned MSG_CTRUNC and may have cut the last message
 */
export function decodeControl(
  bytes: Uint8Array,
  length: number,
  calls: Calls,
  truncated: boolean = false,
): ControlMessage[] {
  const messages: ControlMessage[] = [];
  eachMessage(bytes, length, (level, type, data, last) =>
    messages.push(decodeOne(level, type, data, truncated && last, calls)),
  );
  return messages;
}

/** The descriptors in a message; undefined for a message of another kind. */
export function descriptorsOf(message: ControlMessage): ReceivedDescriptors | undefined {
  if (message.type === "SCM_RIGHTS") return message.fds;
  if (message.type === "SCM_PIDFD") return message.pidfd;
  return undefined;
}
