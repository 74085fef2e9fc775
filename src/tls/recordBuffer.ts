// Makes Node decrypt all records into one shared buffer, in place of a new Buffer for each record.
//
// With its option `onread`, a net.Socket reads into a buffer of the caller. node:tls applies this option only to
// connections that it makes itself, and ignores the option on a given connection (`TLSSocket` in lib/_tls_wrap.js). The
// handle of the socket supports the option in both cases. So this file does the same as the option: it sets two
// properties of the socket, and calls the handle. The keys of these properties are symbols that Node does not export.
// Node documents neither the properties nor the handle. If a part is missing or in use, this file changes nothing, and
// Node passes every record to `push()` of the socket as a Buffer of its own.
//
// The shared buffer saves the allocation and the garbage collection of up to 16 KiB for each record. It also stays in
// the caches of the processor. docs/benchmarks.md says how to measure that.
//
// One buffer serves all connections of the thread: `onBytes` copies the bytes before any other code runs. No reference
// to the buffer leaves this file and `onBytes`.

import type { TLSSocket } from "node:tls";

/** Maximum size of a record: RFC 8446, section 5.1. Node delivers at most one record at a time. */
const MAX_RECORD = 16_384;

/** The handle of a TLS socket, with the method that this file uses. */
interface Handle {
  useUserBuffer?(memory: Uint8Array): unknown;
}

/**
 * The descriptions of the symbols of three properties, in which Node stores the option `onread`: its buffer, its
 * callback, and a function that makes buffers. The properties are null if the option is not used.
 */
const SYMBOL_NAMES = ["kBuffer", "kBufferCb", "kBufferGen"];

let sharedBuffer: Buffer | undefined;
/** A view of the latest record in `sharedBuffer`. It is used again while records have the same length. */
let recordView: Buffer;

/**
 * Makes a TLS socket call `onBytes` with decrypted bytes, which are valid only during the call. If `onBytes` returns
 * false, Node pauses. The function returns false, and changes nothing, if this version of Node does not support that,
 * or if the socket has such a buffer already.
 */
export function useRecordBuffer(socket: TLSSocket, onBytes: (bytes: Buffer) => boolean): boolean {
  // oxlint-disable-next-line no-underscore-dangle
  const handle = (socket as unknown as { readonly _handle?: Handle | null })._handle;
  if (typeof handle?.useUserBuffer !== "function") return false;
  const properties = socket as unknown as Record<symbol, unknown>;
  const symbols = Object.getOwnPropertySymbols(socket);
  const [bufferKey, callbackKey, generatorKey] = SYMBOL_NAMES.map((name) =>
    symbols.find(({ description }) => description === name),
  );
  if (bufferKey === undefined || callbackKey === undefined || generatorKey === undefined) return false;
  const inUse = [bufferKey, callbackKey, generatorKey].some((key) => properties[key] !== null);
  if (inUse) return false;
  if (sharedBuffer === undefined) sharedBuffer = recordView = Buffer.allocUnsafeSlow(MAX_RECORD);
  const buffer = sharedBuffer;
  properties[callbackKey] = (count: number): boolean => {
    if (recordView.length !== count) recordView = buffer.subarray(0, count);
    return onBytes(recordView);
  };
  properties[bufferKey] = buffer;
  handle.useUserBuffer(buffer);
  return true;
}
