// Converts numbers and texts to the bytes of kernel structs and back. Numbers are in the byte order of this machine.

/** Whether this machine is little-endian: the last argument of DataView methods. */
export const LITTLE_ENDIAN: boolean = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** A DataView of the same bytes. */
export function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The 4 bytes of a C int. */
export function intBytes(value: number): Uint8Array {
  // A DataView would make V8 move the small array out of its heap, which takes time.
  const bytes = new Uint8Array(4);
  for (let i = 0; i < 4; i++) bytes[LITTLE_ENDIAN ? i : 3 - i] = value >> (8 * i);
  return bytes;
}

/** The 4 bytes of a C unsigned int. */
export function uintBytes(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  view(bytes).setUint32(0, value, LITTLE_ENDIAN);
  return bytes;
}

/**
 * Reads a C int, or a single byte: if the buffer is shorter than an int, the kernel writes some options, such as
 * IP_TTL, as one byte.
 */
export function readInt(bytes: Uint8Array): number {
  if (bytes.length === 1) return bytes[0]!;
  if (bytes.length < 4)
    throw new RangeError(
      `Cannot read a number: the value has ${bytes.length} bytes, required 4; pass a size to get the bytes`,
    );
  return view(bytes).getInt32(0, LITTLE_ENDIAN);
}

/** {@link readInt} for an unsigned int. */
export function readUint(bytes: Uint8Array): number {
  return readInt(bytes) >>> 0;
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** The text up to the first NUL, or all of it. */
export function readText(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return decoder.decode(end < 0 ? bytes : bytes.subarray(0, end));
}
