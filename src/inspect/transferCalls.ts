// The wrappers of the calls that move data. Each passes on exactly the arguments that it gets, because the native
// functions count their arguments.
//
// Each wrapper records inside a `try`, because the call of the program has succeeded or failed already. A buffer that
// was detached in the meantime, for example, makes the recording throw.

import { ENTRY_WORDS, LENGTH, NAME, NAME_LENGTH, SEGMENT, WHOLE_LENGTH } from "../batch/table.js";
import { forEachMessage } from "../cmsg/layout.js";
import { MSG_ERRQUEUE, MSG_PEEK, SCM_RIGHTS, SOL_SOCKET, SOL_UDP, UDP_GRO, UDP_SEGMENT } from "../sys/constants.js";
import { EAGAIN } from "../sys/errno.js";
import { LITTLE_ENDIAN, view } from "../sys/nativeInts.js";
import { subarrayOrUndefined } from "./callDetails.js";
import { CALL_NAMES, type CallName } from "./callRing.js";
import type { Recording } from "./recording.js";

const CODE = Object.fromEntries(CALL_NAMES.map((name, code) => [name, code])) as Readonly<Record<CallName, number>>;

/** Replaces the calls that move data. */
export function wrapTransfers(recording: Recording): void {
  const { kernel } = recording;
  // The two most frequent calls are read from the table once.
  // oxlint-disable-next-line typescript/unbound-method -- functions of the addon use no `this`
  const { recv, send } = kernel;
  recording.replaceCall("recv", (fd, bytes, length, flags) => {
    const start = recording.startTime();
    const result =
      length === undefined
        ? recv(fd, bytes)
        : flags === undefined
          ? recv(fd, bytes, length)
          : recv(fd, bytes, length, flags);
    try {
      recording.recordTransfer(
        fd,
        CODE.recv,
        start,
        result,
        bytes,
        false,
        flags ?? 0,
        undefined,
        length ?? bytes.length,
      );
    } catch {}
    return result;
  });
  recording.replaceCall("recvAt", (fd, bytes, offset, length) => {
    const start = recording.startTime();
    const result = kernel.recvAt(fd, bytes, offset, length);
    try {
      const part = result > 0 && recording.wantsBytes ? subarrayOrUndefined(bytes, offset) : undefined;
      recording.recordTransfer(fd, CODE.recv, start, result, part, false, 0, undefined, length);
    } catch {}
    return result;
  });
  recording.replaceCall("send", (fd, bytes, offset, flags) => {
    const start = recording.startTime();
    const result =
      offset === undefined
        ? send(fd, bytes)
        : flags === undefined
          ? send(fd, bytes, offset)
          : send(fd, bytes, offset, flags);
    try {
      const part =
        offset === undefined || offset === 0 || !recording.wantsBytes ? bytes : subarrayOrUndefined(bytes, offset);
      recording.recordTransfer(fd, CODE.send, start, result, part, true, 0, undefined, 0);
    } catch {}
    return result;
  });
  recording.replaceCall("recvfrom", (fd, bytes, length, flags, address) => {
    const start = recording.startTime();
    const result = kernel.recvfrom(fd, bytes, length, flags, address);
    try {
      const from = result < 0 ? undefined : writtenAddress(address);
      recording.recordTransfer(fd, CODE.recvfrom, start, result, bytes, false, flags, from, length);
    } catch {}
    return result;
  });
  recording.replaceCall("sendto", (fd, bytes, flags, address) => {
    const start = recording.startTime();
    const result = kernel.sendto(fd, bytes, flags, address);
    try {
      recording.recordTransfer(fd, CODE.sendto, start, result, bytes, true, 0, address, 0);
    } catch {}
    return result;
  });
  recording.replaceCall("recvmsg", (fd, parts, flags, address, control, out) => {
    const start = recording.startTime();
    const result = kernel.recvmsg(fd, parts, flags, address, control, out);
    try {
      const from = address === null || result < 0 ? undefined : writtenAddress(address);
      const bytes = joined(recording, parts, 0, result);
      // Only a result of 0, which may be the end of the stream, needs the length of all buffers.
      const asked = result === 0 ? lengthOf(parts) : result;
      const { observer } = recording;
      const observed = observer !== undefined && control !== null && result > 0;
      const segment = observed ? segmentOf(control, view(out).getUint32(0, LITTLE_ENDIAN), UDP_GRO) : 0;
      recording.recordTransfer(fd, CODE.recvmsg, start, result, bytes, false, flags, from, asked, result, segment);
    } catch {}
    return result;
  });
  recording.replaceCall("sendmsg", (fd, parts, skip, flags, address, control) => {
    const start = recording.startTime();
    const result = kernel.sendmsg(fd, parts, skip, flags, address, control);
    try {
      const bytes = joined(recording, parts, skip, result);
      const observed = recording.observer !== undefined && control !== null && result >= 0;
      const segment = observed ? segmentOf(control, control.length, UDP_SEGMENT) : 0;
      recording.recordTransfer(
        fd,
        CODE.sendmsg,
        start,
        result,
        bytes,
        true,
        0,
        address ?? undefined,
        0,
        result,
        segment,
      );
      if (observed) reportPassed(recording, control);
    } catch {}
    return result;
  });
  recording.replaceCall("recvmmsg", (fd, slab, table, control, flags) => {
    const start = recording.startTime();
    const result = kernel.recvmmsg(fd, slab, table, control, flags);
    try {
      recordBatch(recording, fd, CODE.recvmmsg, start, result, slab, table, 0, flags);
    } catch {}
    return result;
  });
  recording.replaceCall("sendmmsg", (fd, slab, table, from, to, flags) => {
    const start = recording.startTime();
    const result = kernel.sendmmsg(fd, slab, table, from, to, flags);
    try {
      recordBatch(recording, fd, CODE.sendmmsg, start, result, slab, table, from, 0);
    } catch {}
    return result;
  });
  recording.replaceCall("sendfile", (out, file, offset, count) => {
    const start = recording.startTime();
    const result = kernel.sendfile(out, file, offset, count);
    try {
      recording.recordTransfer(out, CODE.sendfile, start, result, undefined, true, 0, undefined, 0);
    } catch {}
    return result;
  });
  recording.replaceCall("splice", (from, to, count) => {
    const start = recording.startTime();
    const result = kernel.splice(from, to, count);
    try {
      // One of the two descriptors is a pipe, and pipes have no row. So the socket is the one with a row.
      const sent = recording.rows[to] !== undefined || recording.rowOf(from) === undefined;
      recording.recordTransfer(sent ? to : from, CODE.splice, start, result, undefined, sent, 0, undefined, count);
    } catch {}
    return result;
  });
  recording.replaceCall("spliceThrough", (from, readEnd, writeEnd, to, chunkSize, budget, out, ...rest) => {
    const start = recording.startTime();
    const result = kernel.spliceThrough(from, readEnd, writeEnd, to, chunkSize, budget, out, ...rest);
    try {
      const counts = view(out);
      const [read, written] = [counts.getUint32(0, LITTLE_ENDIAN), counts.getUint32(4, LITTLE_ENDIAN)];
      if (read > 0) recording.recordTransfer(from, CODE.splice, start, read, undefined, false, 0, undefined, budget);
      if (written > 0) recording.recordTransfer(to, CODE.splice, start, written, undefined, true, 0, undefined, 0);
      // If both counts are equal, the source has stopped the call. Otherwise the destination has.
      const done = result > 0 || (result === EAGAIN && read > 0);
      if (!done && read === written) {
        recording.recordTransfer(from, CODE.splice, start, result, undefined, false, 0, undefined, budget);
      } else if (!done) {
        recording.recordTransfer(to, CODE.splice, start, result, undefined, true, 0, undefined, 0);
      }
    } catch {}
    return result;
  });
}

/**
 * The data that a call with several buffers has moved, or the part of it that is used. Data of several buffers is
 * copied.
 */
function joined(
  recording: Recording,
  parts: readonly Uint8Array[],
  skip: number,
  count: number,
): Uint8Array | undefined {
  if (count <= 0 || !recording.wantsBytes) return undefined;
  try {
    return copied(parts, skip, recording.usedLength(count));
  } catch {
    // There is no memory for a copy, or a buffer was detached.
    return undefined;
  }
}

/** At most `length` bytes of the buffers, from `skip` on: a view of one buffer, or a copy of several. */
function copied(parts: readonly Uint8Array[], skip: number, length: number): Uint8Array {
  let at = skip;
  let found = 0;
  const pieces: Uint8Array[] = [];
  for (const part of parts) {
    if (at >= part.length) {
      at -= part.length;
      continue;
    }
    const piece = part.subarray(at, at + length - found);
    at = 0;
    if (piece.length === length) return piece;
    pieces.push(piece);
    found += piece.length;
    if (found >= length) break;
  }
  return Buffer.concat(pieces, found);
}

const lengthOf = (parts: readonly Uint8Array[]): number => parts.reduce((sum, part) => sum + part.length, 0);

/** A copy of the sockaddr that a call has written to an address buffer. */
function writtenAddress(buffer: Uint8Array): Uint8Array {
  const length = view(buffer).getUint32(0, LITTLE_ENDIAN);
  return buffer.slice(4, 4 + Math.min(length, buffer.length - 4));
}

/** The size of each datagram, from the control message `optionType` (UDP_GRO or UDP_SEGMENT); 0 without one. */
function segmentOf(control: Uint8Array, length: number, optionType: number): number {
  let size = 0;
  forEachMessage(control, length, (level, type, data) => {
    if (level !== SOL_UDP || type !== optionType) return;
    size =
      data.length >= 4
        ? view(data).getInt32(0, LITTLE_ENDIAN)
        : data.length >= 2
          ? view(data).getUint16(0, LITTLE_ENDIAN)
          : 0;
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

/** Records a call that moves a batch of datagrams, and passes each datagram to the observer. */
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
  const sent = code === CODE.sendmmsg;
  const words = new Int32Array(table.buffer, table.byteOffset, table.length >> 2);
  const end = first + Math.max(0, count);
  let length = 0;
  for (let at = first; at < end; at++) length += words[at * ENTRY_WORDS + LENGTH]!;
  const slotSize = slab.length / (words.length / ENTRY_WORDS);
  const bytesOf = (at: number): Uint8Array =>
    slab.subarray(at * slotSize, at * slotSize + Math.min(slotSize, words[at * ENTRY_WORDS + LENGTH]!));
  let bytes: Buffer | undefined;
  if (recording.payload > 0 && length > 0) {
    const pieces: Uint8Array[] = [];
    for (let at = first, found = 0; at < end && found < recording.payload; at++) {
      pieces.push(bytesOf(at));
      found += words[at * ENTRY_WORDS + LENGTH]!;
    }
    bytes = Buffer.concat(pieces).subarray(0, recording.payload);
  }
  // The requested number of bytes is not known here. It is at least `length`.
  recording.recordTransfer(fd, code, start, count, bytes, sent, flags, undefined, Math.max(1, length), length);
  const { observer, lastLine: line } = recording;
  const row = recording.rows[fd];
  if (observer === undefined || row === undefined || (flags & (MSG_PEEK | MSG_ERRQUEUE)) !== 0) return;
  for (let at = first; at < end; at++) {
    const entry = at * ENTRY_WORDS;
    const name = (entry + NAME) * 4;
    const nameLength = words[entry + NAME_LENGTH]!;
    observer.onMoved(row, {
      call: CALL_NAMES[code]!,
      sent,
      bytes: bytesOf(at),
      length: sent ? words[entry + LENGTH]! : Math.max(words[entry + LENGTH]!, words[entry + WHOLE_LENGTH]!),
      address: nameLength === 0 ? undefined : table.slice(name, name + nameLength),
      segment: words[entry + SEGMENT]!,
      line,
    });
  }
}
