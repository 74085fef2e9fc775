// The wrappers of the calls that move data. Each passes on exactly the arguments that it gets, because the native
// functions count their arguments.
//
// The recording may throw, for example if a buffer was detached in the meantime. Each wrapper drops that error, because
// the call of the program has been made, and the program needs its result.

import { ENTRY_WORDS, LENGTH, NAME, NAME_LENGTH, SEGMENT, WHOLE_LENGTH } from "../batch/table.js";
import { forEachMessage } from "../cmsg/layout.js";
import { MSG_ERRQUEUE, MSG_PEEK, SCM_RIGHTS, SOL_SOCKET, SOL_UDP, UDP_GRO, UDP_SEGMENT } from "../sys/constants.js";
import type { Calls } from "../sys/calls.js";
import { EAGAIN } from "../sys/errno.js";
import { LITTLE_ENDIAN, view } from "../sys/nativeInts.js";
import { subarrayOrUndefined } from "./callDetails.js";
import { CALL_NAMES, CODES } from "./callRing.js";
import type { Recording } from "./recording.js";

/** Replaces the calls that move data. */
export function wrapTransfers(recording: Recording): void {
  const { kernel } = recording;

  /** Replaces an entry by a wrapper that makes the call, and then calls `record`. */
  const wrap = <Name extends keyof Calls>(
    name: Name,
    record: (start: number, result: number, ...args: Parameters<Calls[Name]>) => void,
  ): void => {
    const original = kernel[name] as (...args: Parameters<Calls[Name]>) => number;
    const wrapper = (...args: Parameters<Calls[Name]>): number => {
      const start = recording.startTiming();
      const result = original(...args);
      try {
        record(start, result, ...args);
      } catch {}
      return result;
    };
    recording.replaceCall(name, wrapper as Calls[Name]);
  };

  // Calls that often move small messages have wrappers of their own, which make no array of arguments. The two most
  // frequent functions are read from the table once.
  // oxlint-disable-next-line typescript/unbound-method -- functions of the addon use no `this`
  const { recv, send } = kernel;
  recording.replaceCall("recv", (fd, bytes, length, flags) => {
    const start = recording.startTiming();
    let result: number;
    if (length === undefined) result = recv(fd, bytes);
    else if (flags === undefined) result = recv(fd, bytes, length);
    else result = recv(fd, bytes, length, flags);
    try {
      recording.recordReceive(fd, CODES.recv, start, result, bytes, flags ?? 0, undefined, length ?? bytes.length);
    } catch {}
    return result;
  });
  recording.replaceCall("recvAt", (fd, bytes, offset, length) => {
    const start = recording.startTiming();
    const result = kernel.recvAt(fd, bytes, offset, length);
    try {
      const part = result > 0 && recording.usesBytes ? subarrayOrUndefined(bytes, offset) : undefined;
      recording.recordReceive(fd, CODES.recv, start, result, part, 0, undefined, length);
    } catch {}
    return result;
  });
  recording.replaceCall("send", (fd, bytes, offset, flags) => {
    const start = recording.startTiming();
    let result: number;
    if (offset === undefined) result = send(fd, bytes);
    else if (flags === undefined) result = send(fd, bytes, offset);
    else result = send(fd, bytes, offset, flags);
    try {
      const part =
        offset === undefined || offset === 0 || !recording.usesBytes ? bytes : subarrayOrUndefined(bytes, offset);
      recording.recordSend(fd, CODES.send, start, result, part);
    } catch {}
    return result;
  });
  recording.replaceCall("recvfrom", (fd, bytes, length, flags, address) => {
    const start = recording.startTiming();
    const result = kernel.recvfrom(fd, bytes, length, flags, address);
    try {
      const from = result < 0 ? undefined : writtenAddress(address);
      recording.recordReceive(fd, CODES.recvfrom, start, result, bytes, flags, from, length);
    } catch {}
    return result;
  });
  recording.replaceCall("sendto", (fd, bytes, flags, address) => {
    const start = recording.startTiming();
    const result = kernel.sendto(fd, bytes, flags, address);
    try {
      recording.recordSend(fd, CODES.sendto, start, result, bytes, address);
    } catch {}
    return result;
  });
  wrap("recvmsg", (start, result, fd, parts, flags, address, control, out) => {
    const from = address === null || result < 0 ? undefined : writtenAddress(address);
    const bytes = usedBytes(recording, parts, 0, result);
    // A result of 0 is the end of the stream only if bytes were requested. For other results, the number of requested
    // bytes only limits the recorded data. The result limits the data too, so the sum of the lengths is not needed.
    const requested = result === 0 ? lengthOf(parts) : result;
    // The call has written the length of the control data to the start of `out`.
    const isControlUsed = recording.observer !== undefined && control !== null && result > 0;
    const datagramSize = isControlUsed ? datagramSizeOf(control, view(out).getUint32(0, LITTLE_ENDIAN), UDP_GRO) : 0;
    recording.recordReceive(fd, CODES.recvmsg, start, result, bytes, flags, from, requested, result, datagramSize);
  });
  wrap("sendmsg", (start, result, fd, parts, skip, _flags, address, control) => {
    const bytes = usedBytes(recording, parts, skip, result);
    const isControlUsed = recording.observer !== undefined && control !== null && result >= 0;
    const datagramSize = isControlUsed ? datagramSizeOf(control, control.length, UDP_SEGMENT) : 0;
    recording.recordSend(fd, CODES.sendmsg, start, result, bytes, address ?? undefined, result, datagramSize);
    if (isControlUsed) reportPassed(recording, control);
  });
  wrap("recvmmsg", (start, result, fd, slab, table, _control, flags) =>
    recordBatch(recording, fd, CODES.recvmmsg, start, result, slab, table, 0, flags),
  );
  wrap("sendmmsg", (start, result, fd, slab, table, first) =>
    recordBatch(recording, fd, CODES.sendmmsg, start, result, slab, table, first, 0),
  );
  wrap("sendfile", (start, result, out) => recording.recordSend(out, CODES.sendfile, start, result, undefined));
  wrap("splice", (start, result, from, to, count) => {
    // One of the two descriptors is a pipe. For a pipe rowOf() returns undefined; for a socket without a row it adds
    // one.
    const isSend = recording.rows[to] !== undefined || recording.rowOf(from) === undefined;
    if (isSend) recording.recordSend(to, CODES.splice, start, result, undefined);
    else recording.recordReceive(from, CODES.splice, start, result, undefined, 0, undefined, count);
  });
  wrap("spliceThrough", (start, result, from, _readEnd, _writeEnd, to, _capacity, maxBytes, out) => {
    const counts = view(out);
    const [read, written] = [counts.getUint32(0, LITTLE_ENDIAN), counts.getUint32(4, LITTLE_ENDIAN)];
    const recordFrom = (count: number): void =>
      recording.recordReceive(from, CODES.splice, start, count, undefined, 0, undefined, maxBytes);
    const recordTo = (count: number): void => recording.recordSend(to, CODES.splice, start, count, undefined);
    if (read > 0) recordFrom(read);
    if (written > 0) recordTo(written);
    // The two records above are enough if the call has read `maxBytes` (the result is 1), or has read bytes and would
    // then block.
    if (result > 0 || (result === EAGAIN && read > 0)) return;
    // Otherwise the result gets a record too. The record belongs to the source if no bytes are left in the pipe,
    // and otherwise to the destination.
    if (read === written) recordFrom(result);
    else recordTo(result);
  });
}

/**
 * The data that a call with several buffers has moved, as far as the record or the observer uses it.
 *
 * @param skip the number of bytes at the start of the buffers that the call leaves out
 * @param count the result of the call
 */
function usedBytes(
  recording: Recording,
  parts: readonly Uint8Array[],
  skip: number,
  count: number,
): Uint8Array | undefined {
  if (count <= 0 || !recording.usesBytes) return undefined;
  try {
    return joined(parts, skip, recording.usedLength(count));
  } catch {
    // There is no memory for a copy, or a buffer was detached.
    return undefined;
  }
}

/** At most `length` bytes of the buffers, from `skip` on: a view if one buffer has all of them, otherwise a copy. */
function joined(parts: readonly Uint8Array[], skip: number, length: number): Uint8Array {
  let toSkip = skip;
  let found = 0;
  const pieces: Uint8Array[] = [];
  for (const part of parts) {
    if (toSkip >= part.length) {
      toSkip -= part.length;
      continue;
    }
    const piece = part.subarray(toSkip, toSkip + length - found);
    toSkip = 0;
    if (piece.length === length) return piece;
    pieces.push(piece);
    found += piece.length;
    if (found >= length) break;
  }
  return Buffer.concat(pieces, found);
}

const lengthOf = (parts: readonly Uint8Array[]): number => parts.reduce((sum, part) => sum + part.length, 0);

/** A copy of the sockaddr that a call has written to an address buffer: its length in four bytes, then the sockaddr. */
function writtenAddress(buffer: Uint8Array): Uint8Array {
  const length = view(buffer).getUint32(0, LITTLE_ENDIAN);
  return buffer.slice(4, 4 + Math.min(length, buffer.length - 4));
}

/**
 * The size of the datagrams that a call moves together in one buffer, from the control message of this type (UDP_GRO or
 * UDP_SEGMENT); 0 without one.
 */
function datagramSizeOf(control: Uint8Array, controlLength: number, messageType: number): number {
  let size = 0;
  forEachMessage(control, controlLength, (level, type, data) => {
    if (level !== SOL_UDP || type !== messageType) return;
    // UDP_GRO has an int, and UDP_SEGMENT an unsigned short. The program may have written any number, and on a socket
    // that is not UDP the kernel ignores these messages. So a negative number counts as 0.
    if (data.length >= 4) size = Math.max(0, view(data).getInt32(0, LITTLE_ENDIAN));
    else if (data.length >= 2) size = view(data).getUint16(0, LITTLE_ENDIAN);
  });
  return size;
}

/** Reports the sockets whose descriptors a message has passed to another process or thread (SCM_RIGHTS). */
function reportPassed(recording: Recording, control: Uint8Array): void {
  forEachMessage(control, control.length, (level, type, data) => {
    if (level !== SOL_SOCKET || type !== SCM_RIGHTS) return;
    for (let at = 0; at + 4 <= data.length; at += 4) {
      const row = recording.rows[view(data).getInt32(at, LITTLE_ENDIAN)];
      if (row !== undefined) recording.observer?.onPassed(row);
    }
  });
}

/**
 * Records a call that moves a batch of datagrams, and passes each datagram to the observer. `slab` and `table` are the
 * memory of the batch (batch/table.ts).
 *
 * @param count the result of the call
 * @param first the index of the first datagram
 */
function recordBatch(
  recording: Recording,
  fd: number,
  code: number,
  start: number,
  count: number,
  slab: Uint8Array,
  table: Uint8Array,
  first: number,
  flags: number,
): void {
  const sent = code === CODES.sendmmsg;
  // The table has 32-bit words: ENTRY_WORDS for each datagram. The bytes of each datagram are in a slot of the slab.
  const words = new Int32Array(table.buffer, table.byteOffset, table.length / 4);
  const end = first + Math.max(0, count);
  let length = 0;
  for (let at = first; at < end; at++) length += words[at * ENTRY_WORDS + LENGTH]!;
  const slotSize = slab.length / (words.length / ENTRY_WORDS);
  const bytesOf = (at: number): Uint8Array =>
    slab.subarray(at * slotSize, at * slotSize + Math.min(slotSize, words[at * ENTRY_WORDS + LENGTH]!));
  let bytes: Buffer | undefined;
  if (recording.maxPayload > 0 && length > 0) {
    const pieces: Uint8Array[] = [];
    for (let at = first, found = 0; at < end && found < recording.maxPayload; at++) {
      pieces.push(bytesOf(at));
      found += words[at * ENTRY_WORDS + LENGTH]!;
    }
    bytes = Buffer.concat(pieces).subarray(0, recording.maxPayload);
  }
  if (sent) {
    recording.recordSend(fd, code, start, count, bytes, undefined, length);
  } else {
    // The requested number of bytes is not known here. It is more than 0 and at least `length`.
    recording.recordReceive(fd, code, start, count, bytes, flags, undefined, Math.max(1, length), length);
  }
  const { observer, lastLine: line } = recording;
  const row = recording.rows[fd];
  if (observer === undefined || row === undefined || (flags & (MSG_PEEK | MSG_ERRQUEUE)) !== 0) return;
  for (let at = first; at < end; at++) {
    // The index of the first word of this datagram's entry, and of the first byte of its sockaddr.
    const word = at * ENTRY_WORDS;
    const nameAt = (word + NAME) * 4;
    const nameLength = words[word + NAME_LENGTH]!;
    observer.onMoved(row, {
      call: CALL_NAMES[code]!,
      sent,
      bytes: bytesOf(at),
      length: sent ? words[word + LENGTH]! : Math.max(words[word + LENGTH]!, words[word + WHOLE_LENGTH]!),
      address: nameLength === 0 ? undefined : table.slice(nameAt, nameAt + nameLength),
      datagramSize: words[word + SEGMENT]!,
      line,
    });
  }
}
