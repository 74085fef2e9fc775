// Scratch memory for the small arguments of a native call.
//
// V8 keeps a small typed array in its heap. When a native call asks for the address of the bytes, V8 gives the array a
// buffer of its own, which is allocated, registered and swept. That costs more than a system call that takes four
// bytes. So such an argument is copied into an array whose buffer is outside the heap already.

/** Longest argument that is copied, in bytes. A sockaddr_in6 has 28. */
const LONGEST = 32;
/** One array for each length, made when it is first used. */
const scratchArrays: (Uint8Array | undefined)[] = Array.from({ length: LONGEST + 1 });

/**
 * The same bytes in scratch memory; a longer argument is returned as it is. The result is valid until the next call of
 * this function, so it is passed to one native call, which must only read it.
 */
export function scratchCopy(bytes: Uint8Array): Uint8Array {
  const { length } = bytes;
  if (length > LONGEST) return bytes;
  const scratch = (scratchArrays[length] ??= new Uint8Array(new ArrayBuffer(length)));
  // A loop: for so few bytes `set()` takes longer.
  for (let at = 0; at < length; at++) scratch[at] = bytes[at]!;
  return scratch;
}
