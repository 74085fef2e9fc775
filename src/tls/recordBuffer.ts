// Where Node puts what it decrypts: left to itself, into memory made for each record; asked to, always into the same.
//
// A net.Socket can read into memory of its user: its option `onread`. node:tls passes that on for connections that it dials
// itself, and drops it for those that it is put on (`TLSSocket` in lib/_tls_wrap.js), as it is here; yet its handle can do it
// as any other. So here is set what the option comes to: two properties of the socket, under symbols that Node keeps to
// itself, and one call of the handle. Nothing of that is documented. All of it is looked for, and where something is missing
// or in use already, every record comes as a Buffer of its own, by `push`: the same bytes, at the speed of node:tls.
//
// The reason is what it saves: an allocation of up to 16 KiB for each record, its collection, and caches that never see the
// same memory again. docs/benchmarks.md tells how to measure it.
//
// One slab serves all connections of the thread, because what is in it is copied out within Node's call, before any other
// code runs. It is never handed out.

import type { TLSSocket } from "node:tls";

/** The most that one record holds: RFC 8446, section 5.1. Node hands over no more at a time. */
const RECORD = 16_384;

/** What is used of Node's handle of a TLS socket. */
interface Handle {
  useUserBuffer?(memory: Uint8Array): unknown;
}

/** The properties of a socket that Node's `onread` is kept in; null where it is not used. */
const NAMES = ["kBuffer", "kBufferCb", "kBufferGen"];

let slab: Buffer | undefined;
/** The beginning of the slab. Records are mostly as long as the one before: then its view does. */
let view: Buffer;

/**
 * Has `take` called with what is decrypted, which is only there during the call; false asks for a pause. Returns false, and
 * has changed nothing, where this Node can't do that.
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
  slab ??= view = Buffer.allocUnsafeSlow(RECORD);
  const whole = slab;
  properties[callback] = (count: number): boolean => {
    if (view.length !== count) view = whole.subarray(0, count);
    return take(view);
  };
  properties[memory] = slab;
  handle.useUserBuffer(slab);
  return true;
}
