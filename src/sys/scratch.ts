// Bytes for a call, in memory that V8 does not move.
//
// A small typed array lies in V8's heap until a native call asks for its memory; then V8 gives it a buffer of its own, which is
// allocated, registered and swept: more work than a system call that takes four bytes. Such arguments are copied here.

/** Longest that has a place: a sockaddr_in6 is 28 bytes. */
const LONGEST = 32;
const places: (Uint8Array | undefined)[] = Array.from({ length: LONGEST + 1 });

/** A copy of the bytes, valid for the next system call only. The call must not write to it. */
export function scratchCopy(bytes: Uint8Array): Uint8Array {
  const { length } = bytes;
  if (length > LONGEST) return bytes;
  const place = (places[length] ??= new Uint8Array(new ArrayBuffer(length)));
  // Not set(), which makes more of it than it is.
  for (let at = 0; at < length; at++) place[at] = bytes[at]!;
  return place;
}
