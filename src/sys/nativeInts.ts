// Numbers and texts as the kernel's structures have them: in the byte order of this machine.

/** Whether the lowest byte of a number comes first in memory. */
export const LITTLE: boolean = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

export function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export function intBytes(value: number): Uint8Array {
  // Not by a DataView, which would have the small array moved out of the heap.
  const bytes = new Uint8Array(4);
  for (let i = 0; i < 4; i++) bytes[LITTLE ? i : 3 - i] = value >> (8 * i);
  return bytes;
}

export function uintBytes(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  view(bytes).setUint32(0, value, LITTLE);
  return bytes;
}

/** A number of the length that the kernel chose: an int for most options, a byte for IP_TTL and its like on some levels. */
export function readInt(bytes: Uint8Array): number {
  if (bytes.length === 1) return bytes[0]!;
  if (bytes.length < 4)
    throw new RangeError(
      `Cannot read a number: the kernel gave ${bytes.length} bytes, required 4; give a size to get the bytes`,
    );
  return view(bytes).getInt32(0, LITTLE);
}

export function readUint(bytes: Uint8Array): number {
  return readInt(bytes) >>> 0;
}

const text = new TextDecoder("utf-8", { ignoreBOM: true });

/** Text up to its NUL, if it has one. */
export function readText(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return text.decode(end < 0 ? bytes : bytes.subarray(0, end));
}
