// The replaced calls that move data. They pass on exactly the arguments that they get: the native functions count them.

import { LITTLE, view } from "../sys/nativeInts.js";
import { CALL_NAMES, type CallName } from "./callRing.js";
import type { Recording } from "./recording.js";

const CODE = Object.fromEntries(CALL_NAMES.map((name, code) => [name, code])) as Readonly<Record<CallName, number>>;

/** Replaces the calls that move data. */
export function wrapTransfers(recording: Recording): void {
  const { kernel } = recording;
  // The two most frequent calls, without a look into the table.
  // oxlint-disable-next-line typescript/unbound-method -- functions of the addon use no `this`
  const { recv, send } = kernel;
  recording.set("recv", (fd, bytes, length, flags) => {
    const start = recording.begin();
    const result =
      length === undefined
        ? recv(fd, bytes)
        : flags === undefined
          ? recv(fd, bytes, length)
          : recv(fd, bytes, length, flags);
    recording.moved(fd, CODE.recv, start, result, bytes, false, flags ?? 0, undefined);
    return result;
  });
  recording.set("recvAt", (fd, bytes, offset, length) => {
    const start = recording.begin();
    const result = kernel.recvAt(fd, bytes, offset, length);
    const part = result > 0 && recording.wantsBytes ? bytes.subarray(offset) : undefined;
    recording.moved(fd, CODE.recv, start, result, part, false, 0, undefined);
    return result;
  });
  recording.set("send", (fd, bytes, offset, flags) => {
    const start = recording.begin();
    const result =
      offset === undefined
        ? send(fd, bytes)
        : flags === undefined
          ? send(fd, bytes, offset)
          : send(fd, bytes, offset, flags);
    const part = offset === undefined || offset === 0 || !recording.wantsBytes ? bytes : bytes.subarray(offset);
    recording.moved(fd, CODE.send, start, result, part, true, 0, undefined);
    return result;
  });
  recording.set("recvfrom", (fd, bytes, length, flags, address) => {
    const start = recording.begin();
    const result = kernel.recvfrom(fd, bytes, length, flags, address);
    recording.moved(
      fd,
      CODE.recvfrom,
      start,
      result,
      bytes,
      false,
      flags,
      result < 0 ? undefined : writtenAddress(address),
    );
    return result;
  });
  recording.set("sendto", (fd, bytes, flags, address) => {
    const start = recording.begin();
    const result = kernel.sendto(fd, bytes, flags, address);
    recording.moved(fd, CODE.sendto, start, result, bytes, true, 0, address);
    return result;
  });
  recording.set("recvmsg", (fd, parts, flags, address, control, out) => {
    const start = recording.begin();
    const result = kernel.recvmsg(fd, parts, flags, address, control, out);
    const from = address === null || result < 0 ? undefined : writtenAddress(address);
    recording.moved(fd, CODE.recvmsg, start, result, joined(recording, parts, 0, result), false, flags, from);
    return result;
  });
  recording.set("sendmsg", (fd, parts, skip, flags, address, control) => {
    const start = recording.begin();
    const result = kernel.sendmsg(fd, parts, skip, flags, address, control);
    recording.moved(
      fd,
      CODE.sendmsg,
      start,
      result,
      joined(recording, parts, skip, result),
      true,
      0,
      address ?? undefined,
    );
    return result;
  });
  // The bytes of batches are not counted, and not kept.
  recording.set("recvmmsg", (fd, slab, table, control, flags) => {
    const start = recording.begin();
    const result = kernel.recvmmsg(fd, slab, table, control, flags);
    recording.moved(fd, CODE.recvmmsg, start, result, undefined, false, flags, undefined, 0);
    return result;
  });
  recording.set("sendmmsg", (fd, slab, table, from, to, flags) => {
    const start = recording.begin();
    const result = kernel.sendmmsg(fd, slab, table, from, to, flags);
    recording.moved(fd, CODE.sendmmsg, start, result, undefined, true, 0, undefined, 0);
    return result;
  });
  recording.set("sendfile", (out, file, offset, count) => {
    const start = recording.begin();
    const result = kernel.sendfile(out, file, offset, count);
    recording.moved(out, CODE.sendfile, start, result, undefined, true, 0, undefined);
    return result;
  });
  recording.set("splice", (from, to, count) => {
    const start = recording.begin();
    const result = kernel.splice(from, to, count);
    // One end is a pipe, and pipes have no row.
    const fromSocket = recording.rows[from] !== undefined;
    recording.moved(fromSocket ? from : to, CODE.splice, start, result, undefined, !fromSocket, 0, undefined);
    return result;
  });
  recording.set("spliceThrough", (from, readEnd, writeEnd, to, chunkSize, budget, out, ...rest) => {
    const start = recording.begin();
    const result = kernel.spliceThrough(from, readEnd, writeEnd, to, chunkSize, budget, out, ...rest);
    const counts = view(out);
    const [read, written] = [counts.getUint32(0, LITTLE), counts.getUint32(4, LITTLE)];
    recording.moved(from, CODE.splice, start, read > 0 ? read : result, undefined, false, 0, undefined);
    if (written > 0) recording.moved(to, CODE.splice, start, written, undefined, true, 0, undefined);
    return result;
  });
}

/** The bytes that a call with several buffers has moved. */
function joined(
  recording: Recording,
  parts: readonly Uint8Array[],
  skip: number,
  count: number,
): Uint8Array | undefined {
  if (count <= 0 || !recording.wantsBytes) return undefined;
  const [first] = parts;
  if (parts.length === 1 && first !== undefined) return skip === 0 ? first : first.subarray(skip);
  try {
    return Buffer.concat(parts, skip + count).subarray(skip);
  } catch {
    // There is no memory for a copy. The call of the program has succeeded.
    return undefined;
  }
}

/** The sockaddr that a call wrote to an address buffer: a copy. */
function writtenAddress(buffer: Uint8Array): Uint8Array {
  const length = view(buffer).getUint32(0, LITTLE);
  return buffer.slice(4, 4 + Math.min(length, buffer.length - 4));
}
