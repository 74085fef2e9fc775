// Decodes the bytes of control data to typed messages.

import type { Calls } from "../sys/calls.js";
import { SCM_PIDFD, SCM_RIGHTS, SOL_SOCKET } from "../sys/constants.js";
import { LITTLE_ENDIAN, view } from "../sys/nativeInts.js";
import type { Codec } from "./codec.js";
import { ReceivedDescriptors } from "./descriptors.js";
import { ERROR_CODECS } from "./errorQueueMessages.js";
import { IP_CODECS } from "./ipMessages.js";
import { forEachMessage } from "./layout.js";
import { SOCKET_CODECS } from "./socketMessages.js";
import { TRANSPORT_CODECS } from "./transportMessages.js";
import type { ControlMessage } from "./types.js";

export const CODECS: readonly Codec[] = [...SOCKET_CODECS, ...IP_CODECS, ...TRANSPORT_CODECS, ...ERROR_CODECS];

/** The codecs that can decode, by level and then by `cmsgType`. */
const decoders = new Map<number, Map<number, Codec>>();
for (const codec of CODECS) {
  if (codec.decode === undefined) continue;
  const decodersOfLevel = decoders.get(codec.level) ?? new Map<number, Codec>();
  decoders.set(codec.level, decodersOfLevel.set(codec.cmsgType, codec));
}

/** Reads the descriptors in the data. Omits -1, which stands for a descriptor that could not be passed. */
function readDescriptors(data: Uint8Array, calls: Calls): ReceivedDescriptors {
  const input = view(data);
  const fds: number[] = [];
  for (let at = 0; at + 4 <= data.length; at += 4) {
    const fd = input.getInt32(at, LITTLE_ENDIAN);
    if (fd >= 0) fds.push(fd);
  }
  return new ReceivedDescriptors(fds, calls);
}

/**
 * Decodes one message. Returns a RawControl if its kind is unknown or its data are incomplete.
 *
 * @param mayBeTruncated whether the kernel may have truncated the data
 */
function decodeOne(
  level: number,
  type: number,
  data: Uint8Array,
  mayBeTruncated: boolean,
  calls: Calls,
): ControlMessage {
  if (level === SOL_SOCKET) {
    const hasDescriptor = data.length >= 4;
    if (type === SCM_RIGHTS && (hasDescriptor || data.length === 0)) {
      return { type: "SCM_RIGHTS", fds: readDescriptors(data, calls) };
    }
    if (type === SCM_PIDFD && hasDescriptor) return { type: "SCM_PIDFD", pidfd: readDescriptors(data, calls) };
  }
  const codec = decoders.get(level)?.get(type);
  const isTruncated = mayBeTruncated && data.length < (codec?.fullLength ?? 0);
  if (codec !== undefined && !isTruncated) {
    // Each codec returns one member of the union, but the type `Codec` does not express which one.
    const decoded = codec.decode!(data) as ControlMessage | undefined;
    if (decoded !== undefined) return decoded;
  }
  return { level, type, data: data.slice() };
}

/**
 * Decodes the messages in the first `length` bytes of control data. Never throws, and keeps no view of the bytes.
 *
 * @param calls the calls that close received descriptors
 * @param truncated whether the kernel returned MSG_CTRUNC; then it may have truncated the last message
 */
export function decodeControl(
  bytes: Uint8Array,
  length: number,
  calls: Calls,
  truncated: boolean = false,
): ControlMessage[] {
  const messages: ControlMessage[] = [];
  forEachMessage(bytes, length, (level, type, data, isLast) =>
    messages.push(decodeOne(level, type, data, truncated && isLast, calls)),
  );
  return messages;
}

/** The descriptors in a message; undefined for a message of another kind. */
export function descriptorsOf(message: ControlMessage): ReceivedDescriptors | undefined {
  if (message.type === "SCM_RIGHTS") return message.fds;
  if (message.type === "SCM_PIDFD") return message.pidfd;
  return undefined;
}
