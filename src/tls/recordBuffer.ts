// Makes Node decrypt all records into one shared buffer, in place of a new Buffer for each record.
//
// A net.Socket can read into a buffer of the caller: its option `onread`. node:tls applies this option only to
// connections that it makes itself, and ignores it on a given connection (`TLSSocket` in lib/_tls_wrap.js). The handle
// supports it in both cases. So this file does what the option does: it sets two properties of the socket, whose
// symbols Node does not export, and calls the handle. None of that is documented. If a part is missing or in use,
// nothing is changed, and every record arrives as a Buffer of its own in `push`.
//
// The shared buffer saves an allocation of up to 16 KiB for each record and its collection, and it stays in the caches.
// docs/benchmarks.md says how to measure that.
//
// One buffer serves all connections of the thread, because its bytes are copied during Node's call, before any other
// code runs. No reference to it leaves this file and its callback.

import type { TLSSocket } from "node:tls";

/** Maximum size of a record: RFC 8446, section 5.1. Node delivers at most one record at a time. */
const MAX_RECORD = 16_384;

/** The used method of the handle of a TLS socket. */
interface Handle {
  useUserBuffer?(memory: Uint8Array): unknown;
}

/** The descriptions of the symbols in which Node stores `onread`. The properties are null if it is not used. */
const NAMES = ["kBuffer", "kBufferCb", "kBufferGen"];

let buffer: Buffer | undefined;
/** A view of the last record in `buffer`. It is reused while records have the same length. */
let view: Buffer;

/**
 * Calls `take` with decrypted bytes, which are valid only during the call. If `take` returns false, Node pauses.
 * Returns false, and changes nothing, if this version of Node does not support that.
 */
export function useRecordBuffer(socket: TLSSocket, take: (bytes: Buffer) => boolean): boolean {
  // oxlint-disable-next-line no-underscore-dangle
  const handle = (socket as unknown as { readonly _handle?: Handle | null })._handle;
  if (typeof handle?.useUserBuffer !== "function") return false;
  const properties = socket as unknown as Record<symbol, unknown>;
  const symbols = Object.getOwnPropertySymbols(socket);
  const [memory, callback, generator] = NAMES.map((name) => symbols.find(({ description }) => description === name));
  if (memory === undefined || callback === undefined || generator === undefined) return false;
  if ([memory, callback, generator].some((symbol) => properties[symbol] !== null)) return false;
  buffer ??= view = Buffer.allocUnsafeSlow(MAX_RECORD);
  const whole = buffer;
  properties[callback] = (count: number): boolean => {
    if (view.length !== count) view = whole.subarray(0, count);
    return take(view);
  };
  properties[memory] = buffer;
  handle.useUserBuffer(buffer);
  return true;
}
