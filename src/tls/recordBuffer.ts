// Makes Node decrypt all records into one shared buffer, in place of a new Buffer for each record.
//
// With its option `onread`, a net.Socket reads into a buffer of the caller. node:tls applies this option only to
// connections that it makes itself, and ignores it on a given connection (`TLSSocket` in lib/_tls_wrap.js). The handle
// supports it in both cases. So this file does the same as the option: it sets two properties of the socket, whose
// symbols Node does not export, and calls the handle. None of that is documented. If a part is missing or in use, this
// file changes nothing, and every record arrives as a Buffer of its own in `push`.
//
// The shared buffer saves the allocation and the collection of up to 16 KiB for each record, and it stays in the
// caches. docs/benchmarks.md says how to measure that.
//
// One buffer serves all connections of the thread, because its bytes are copied during Node's call, before any other
// code runs. No reference to it leaves this file and its callback.

import type { TLSSocket } from "node:tls";

/** Maximum size of a record: RFC 8446, section 5.1. Node delivers at most one record at a time. */
const MAX_RECORD = 16_384;

/** The method of the handle of a TLS socket that this file uses. */
interface Handle {
  useUserBuffer?(memory: Uint8Array): unknown;
}

/** The descriptions of the symbols in which Node stores `onread`. The properties are null if it is not used. */
const SYMBOL_NAMES = ["kBuffer", "kBufferCb", "kBufferGen"];

let sharedBuffer: Buffer | undefined;
/** A view of the latest record in `sharedBuffer`. It is reused while records have the same length. */
let view: Buffer;

/**
 * Makes a TLS socket call `onBytes` with decrypted bytes, which are valid only during the call. If `onBytes` returns
 * false, Node pauses. Returns false, and changes nothing, if this version of Node does not support that, or the
 * socket has such a buffer already.
 */
export function useRecordBuffer(socket: TLSSocket, onBytes: (bytes: Buffer) => boolean): boolean {
  // oxlint-disable-next-line no-underscore-dangle
  const handle = (socket as unknown as { readonly _handle?: Handle | null })._handle;
  if (typeof handle?.useUserBuffer !== "function") return false;
  const properties = socket as unknown as Record<symbol, unknown>;
  const symbols = Object.getOwnPropertySymbols(socket);
  const [memory, callback, generator] = SYMBOL_NAMES.map((name) =>
    symbols.find(({ description }) => description === name),
  );
  if (memory === undefined || callback === undefined || generator === undefined) return false;
  if ([memory, callback, generator].some((symbol) => properties[symbol] !== null)) return false;
  sharedBuffer ??= view = Buffer.allocUnsafeSlow(MAX_RECORD);
  const buffer = sharedBuffer;
  properties[callback] = (count: number): boolean => {
    if (view.length !== count) view = buffer.subarray(0, count);
    return onBytes(view);
  };
  properties[memory] = sharedBuffer;
  handle.useUserBuffer(sharedBuffer);
  return true;
}
