// Reads the header of the PROXY protocol from a stream. The bytes after the header stay in the stream.

import { checkOptions, integer } from "../check/index.js";
import type { FrameError } from "../errors/index.js";
import type { Stream } from "../stream/index.js";
import type { IoOptions } from "../io.js";
import { timeoutError } from "../wait/localError.js";
import { abortSignal, milliseconds, WAIT_NAMES } from "../wait/waitOptions.js";
import { clock } from "../builtins.js";
import { decodeProxyHeader, headerError, version2Length, detectVersion } from "./decodeProxyHeader.js";
import { FIXED_SIZE, MAX_LINE, type ProxyHeader, SIGNATURE, UNIX_PATH_SIZE } from "./proxyHeader.js";

/** The default `timeout` of {@link readProxyHeader}, in milliseconds. */
export const PROXY_HEADER_TIMEOUT = 3_000;
/** The default `maxBytes` of {@link readProxyHeader}. */
export const PROXY_HEADER_MAX_BYTES = 4_096;

/** How to read a header. */
export interface ReadProxyHeaderOptions extends IoOptions {
  /** Milliseconds for the whole header; null for no limit. Default {@link PROXY_HEADER_TIMEOUT}. */
  readonly timeout?: number | null | undefined;
  /**
   * Maximum length of a header of version 2, from 232 (two UNIX addresses) to 65551. Default
   * {@link PROXY_HEADER_MAX_BYTES}. A header of version 1 has at most 107 bytes.
   */
  readonly maxBytes?: number | undefined;
}

const ACTION = "read the header of the PROXY protocol";
/** The smallest `maxBytes`: the length of a header with two UNIX addresses, 232. */
const MIN_MAX_BYTES = FIXED_SIZE + 2 * UNIX_PATH_SIZE;
const MAX_HEADER_LENGTH = FIXED_SIZE + 0xffff;

/** Checks the option `maxBytes`, and fills in the default. */
export function checkMaxBytes(value: number | undefined, action: string, name: string): number {
  return integer(value ?? PROXY_HEADER_MAX_BYTES, action, name, MIN_MAX_BYTES, MAX_HEADER_LENGTH);
}

/**
 * Reads the header of the PROXY protocol, version 1 or 2, from the start of a stream. The bytes after the header stay
 * in the stream. The caller must trust the peer, because a header is not authenticated. If the call fails, close the
 * connection, because the address of the client is not known.
 *
 * @throws FrameError (by rejecting) if the stream does not begin with a valid header, if the header is longer than
 *   `maxBytes`, or if the stream ends before the header does
 * @throws TimeoutError (by rejecting) if the header is not complete in time
 * @see https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt
 * @example
 * ```ts
 * import { connect, InetAddress, listen } from "berkeley";
 * import { encodeProxyHeader, readProxyHeader } from "berkeley/server";
 *
 * await using listener = await listen("tcp://127.0.0.1:8888");
 * await using proxy = await connect("tcp://127.0.0.1:8888");
 * const source = new InetAddress("192.0.2.1", 51000);
 * const destination = new InetAddress("198.51.100.2", 443);
 * await proxy.write([encodeProxyHeader({ source, destination }), "hello\n"]);
 *
 * await using stream = await listener.accept();
 * const header = await readProxyHeader(stream);
 * console.log(String(header.source), await stream.readLine()); // prints: 192.0.2.1:51000 hello
 * ```
 */
export function readProxyHeader(stream: Stream, opts: ReadProxyHeaderOptions = {}): Promise<ProxyHeader> {
  return readHeader(stream, opts);
}

/** A stream, or another object with the calls that reading a header needs. */
export type HeaderSource = Pick<Stream, "peek" | "buffered" | "readExactly">;

/** Does the same as `readProxyHeader()`, also for a source that is no stream. */
export async function readHeader(stream: HeaderSource, opts: ReadProxyHeaderOptions): Promise<ProxyHeader> {
  checkOptions(opts, ACTION, [...WAIT_NAMES, "maxBytes"]);
  const { timeout: givenTimeout = PROXY_HEADER_TIMEOUT } = opts;
  const timeout = milliseconds(givenTimeout, ACTION);
  const signal = abortSignal(opts.signal, ACTION);
  const maxBytes = checkMaxBytes(opts.maxBytes, ACTION, "maxBytes");
  const deadline = timeout === null || timeout === undefined ? undefined : clock() + timeout;
  /** The options of the next call: the remaining time and the signal. */
  const remainingWait = (): IoOptions => {
    if (deadline === undefined) return { signal };
    const remaining = deadline - clock();
    if (remaining <= 0) throw timeoutError("proxy_header");
    return { signal, timeout: remaining };
  };
  /** Returns the first `size` bytes without taking them from the stream. Rejects if the stream has fewer bytes. */
  const peek = async (size: number): Promise<Buffer> => {
    const bytes = (await stream.peek(size, remainingWait())) ?? Buffer.alloc(0);
    if (bytes.length < size) {
      // For bytes of another protocol, detectVersion() throws an error that contains the bytes.
      detectVersion(bytes);
      throw endedEarlyError(bytes.length);
    }
    return bytes;
  };

  // detectVersion() throws if the bytes are not the start of a header. It is first called with the bytes that have
  // arrived, so that a peer of another protocol is refused without a wait for more bytes.
  await peek(1);
  detectVersion(await peek(Math.min(stream.buffered, SIGNATURE.length)));
  let length: number;
  if (detectVersion(await peek("PROXY ".length)) === 1) {
    length = await lineLength(stream, peek);
  } else {
    detectVersion(await peek(SIGNATURE.length));
    const fixed = await peek(FIXED_SIZE);
    // Called for its check: throws for a wrong version or command before the rest has arrived.
    decodeProxyHeader(fixed);
    length = version2Length(fixed);
    if (length > maxBytes) throw headerError(`it has ${length} bytes, required at most ${maxBytes} (maxBytes)`);
  }
  // Never undefined, because peek() returns the whole header.
  const { header } = decodeProxyHeader(await peek(length))!;
  await stream.readExactly(length, remainingWait());
  return header;
}

/**
 * Finds the length of a line of version 1. The peer may send nothing after the line. So the call never waits for more
 * than the next byte. Returns at most MAX_LINE, even if the line is longer.
 */
async function lineLength(stream: HeaderSource, peek: (size: number) => Promise<Buffer>): Promise<number> {
  // From the second step on, `size` includes all bytes that are in the stream's buffer.
  for (let size = "PROXY ".length + 1; ; size = Math.min(Math.max(size + 1, stream.buffered), MAX_LINE)) {
    const bytes = await peek(size);
    const lineFeed = bytes.indexOf("\n");
    if (lineFeed >= 0) return lineFeed + 1;
    if (size === MAX_LINE) return size;
  }
}

/** The error of a stream that ended before the end of the header. */
function endedEarlyError(count: number): FrameError {
  return headerError(`the stream ended after ${count} bytes, before the end of the header`);
}
