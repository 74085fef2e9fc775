// Scratch memory for small arguments of native calls.
//
// V8 keeps a small typed array in its heap. If a native call needs the address of the bytes, V8 moves them to a buffer
// outside the heap, which it allocates, registers and frees later. That costs more than a short system call. So a small
// argument is copied to an array whose buffer is already outside the heap.

/** Length of the longest argument that is copied, in bytes. A sockaddr_in6 has 28. */
const MAX_LENGTH = 32;
/** One array for each length, created at its first use. */
const scratchArrays: (Uint8Array | undefined)[] = Array.from({ length: MAX_LENGTH + 1 });

/**
 * Copies the bytes to scratch memory. Returns an argument of more than {@link MAX_LENGTH} bytes as it is. The result is
 * valid until the next call of this function. So the caller must pass the result to a native call at once. This native
 * call must not write to the result.
 */
export function scratchCopy(bytes: Uint8Array): Uint8Array {
  const { length } = bytes;
  if (length > MAX_LENGTH) return bytes;
  const scratch = (scratchArrays[length] ??= new Uint8Array(new ArrayBuffer(length)));
  // For so few bytes a loop is faster than `set()`.
  for (let at = 0; at < length; at++) scratch[at] = bytes[at]!;
  return scratch;
}
