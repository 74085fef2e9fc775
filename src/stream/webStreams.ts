// Conversions between a Conn and web streams, in both directions. The readable is a byte stream.
//
// See the Streams Standard (https://streams.spec.whatwg.org), "readable byte streams".

import type { ReadableStream, WritableStream } from "node:stream/web";
import { isNativeError, isUint8Array } from "node:util/types";
import { streamWeb } from "../builtins.js";
import { checkOptions, quote } from "../check/index.js";
import type { SocketError } from "../errors/index.js";
import type { Conn, Data } from "../io.js";
import { localError } from "../wait/localError.js";
import { ReadBuffer } from "../reading/readBuffer.js";
import { checkSize } from "../reading/readArguments.js";
import { type ChunkTransport, TransportConn } from "./transportConn.js";

/** The controller of a readable byte stream. Node's type lacks `byobRequest.respond`. */
export interface ByteController {
  readonly byobRequest: { readonly view: Uint8Array; respond(bytesWritten: number): void } | null;
  enqueue(chunk: Uint8Array): void;
  close(): void;
}

/**
 * Makes one read for one `pull()` of a byte stream. If a BYOB reader ("bring your own buffer") has passed memory, the
 * bytes go into that memory, otherwise into `buffer`. If `read` resolves with 0, this function closes the stream.
 * Resolves with the number of bytes.
 */
export async function pullBytes(
  controller: ByteController,
  buffer: ReadBuffer,
  read: (target: Uint8Array) => Promise<number>,
): Promise<number> {
  const request = controller.byobRequest;
  const count = await read(request === null ? buffer.prepareSpace() : request.view);
  if (count === 0) {
    controller.close();
    // After close(), this ends the pending read of the BYOB reader.
    request?.respond(0);
  } else if (request !== null) {
    request.respond(count);
  } else {
    // enqueue() detaches the ArrayBuffer of the chunk, so each chunk needs an ArrayBuffer of its own.
    buffer.commit(count);
    const chunk = new Uint8Array(count);
    buffer.copyInto(chunk);
    controller.enqueue(chunk);
  }
  return count;
}

/** The two directions of a connection as web streams. */
export interface WebPair {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Data>;
}

/** The options of `toWeb()`. */
export interface ToWebOptions {
  /** Maximum number of bytes of one read, if the reader has no buffer of its own (BYOB). Default 64 KiB. */
  readonly readSize?: number | undefined;
}

/**
 * A connection as web streams, which own the connection. `readable` is a byte stream: the connection reads only when a
 * reader reads, and fills the buffer of a BYOB reader without a copy. `writable` takes strings and bytes. The promise
 * `ready` of its writer is pending while a write is pending.
 *
 * The connection is closed when both sides have ended: the readable has ended, failed or was cancelled, and the
 * writable was closed or has failed. Aborting the writable aborts the connection.
 *
 * @throws TypeError or RangeError for a `readSize` that is no whole number from 1
 * @example
 * ```ts
 * import { toWeb } from "berkeley";
 * import { memoryPair } from "berkeley/testing";
 *
 * const [a, b] = memoryPair();
 * const writer = toWeb(a).writable.getWriter();
 * await writer.write("hello");
 * await writer.close();
 * console.log(await new Response(toWeb(b).readable as ReadableStream).text()); // prints: hello
 * ```
 */
export function toWeb(conn: Conn, opts: ToWebOptions = {}): WebPair {
  checkOptions(opts, "toWeb", ["readSize"]);
  const buffer = new ReadBuffer(checkSize(opts.readSize ?? 65_536, "toWeb", "readSize", 1));
  /** Aborted by cancel() of the readable, to end the pending read. */
  const readAborter = new AbortController();
  const { signal } = readAborter;
  // Whether the readable has ended, has failed or was cancelled; whether the writable was closed or has failed.
  let readDone = false;
  let writeDone = false;
  const closeWhenDone = (): Promise<void> | undefined => (readDone && writeDone ? conn.close() : undefined);

  const read = async (target: Uint8Array): Promise<number> => {
    const count = await conn.read(target, { signal });
    if (count === 0) {
      readDone = true;
      await closeWhenDone();
    }
    return count;
  };

  const readable = new (streamWeb().ReadableStream)({
    type: "bytes",
    async pull(controller) {
      try {
        await pullBytes(controller as unknown as ByteController, buffer, read);
      } catch (error) {
        // cancel() has ended the read.
        if (signal.aborted) return;
        readDone = true;
        await closeWhenDone();
        throw error;
      }
    },
    async cancel() {
      readDone = true;
      readAborter.abort();
      await closeWhenDone();
    },
  });

  const writable = new (streamWeb().WritableStream)<Data>({
    start(controller) {
      // While a pipe to the writable waits for its source, there is no write that could fail. Then only whenBroken()
      // reports that the connection is broken. A strong reference in the pending whenBroken() would prevent garbage
      // collection of the streams.
      const weakController = new WeakRef(controller);
      const onBroken = (error: unknown): void => {
        if (writeDone) return;
        writeDone = true;
        weakController.deref()?.error(error);
        void closeWhenDone();
      };
      conn.whenBroken?.().then(onBroken, () => undefined);
    },
    async write(data) {
      try {
        await conn.write(data);
      } catch (error) {
        writeDone = true;
        await closeWhenDone();
        throw error;
      }
    },
    async close() {
      try {
        await conn.closeWrite();
      } finally {
        writeDone = true;
        await closeWhenDone();
      }
    },
    abort() {
      conn.abort();
    },
  });
  return { readable, writable };
}

/** A pair of web streams as a transport. */
class WebStreamTransport implements ChunkTransport {
  readonly localAddress = undefined;
  readonly remoteAddress = undefined;
  readonly #reader: ReadableStreamDefaultReader<unknown>;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  /** Whether `end()` was called. */
  #ended = false;

  constructor(reader: ReadableStreamDefaultReader<unknown>, writer: WritableStreamDefaultWriter<Uint8Array>) {
    this.#reader = reader;
    this.#writer = writer;
    // These handlers prevent unhandled rejections. read() and write() report the same errors.
    this.#reader.closed.catch(() => undefined);
    this.#writer.closed.catch(() => undefined);
    this.#writer.ready.catch(() => undefined);
  }

  async readChunk(): Promise<Uint8Array | null> {
    const { done, value } = await this.#reader.read();
    if (done) return null;
    if (isUint8Array(value)) return value;
    await this.#reader.cancel();
    throw new TypeError(`Cannot read: a chunk of the readable is ${quote(value)}, required a Uint8Array`);
  }

  onBroken(listener: (error: unknown) => void): void {
    this.#writer.closed.catch((error: unknown) => listener(webError(error)));
  }

  writeChunk(bytes: Uint8Array): Promise<void> {
    return this.#withWriteError(this.#writer.write(bytes));
  }

  async end(): Promise<void> {
    this.#ended = true;
    await this.#withWriteError(this.#writer.close());
  }

  async close(): Promise<void> {
    const writerClosed = this.#ended ? Promise.resolve() : this.#writer.close();
    await Promise.allSettled([writerClosed, this.#reader.cancel()]);
  }

  abort(error: SocketError): void {
    this.#writer.abort(error).catch(() => undefined);
    this.#reader.cancel(error).catch(() => undefined);
  }

  /** Waits for a write, and rejects with its error. */
  async #withWriteError(written: Promise<void>): Promise<void> {
    // Prevents an unhandled rejection: a write may replace the promise `ready` of the writer by a new one.
    this.#writer.ready.catch(() => undefined);
    try {
      await written;
    } catch (error) {
      throw webError(error);
    }
  }
}

/** The error of a web stream that has failed. A reason that is no Error becomes the `cause` of an `EPIPE`. */
function webError(reason: unknown): Error {
  return reason instanceof Error || isNativeError(reason) ? reason : localError("EPIPE", "write", { cause: reason });
}

/**
 * A connection over a pair of web streams. The connection locks and owns them. `close()` closes the writable and
 * cancels the readable. `abort()` aborts the writable and cancels the readable. `read` and `write` reject with the
 * errors of the streams.
 *
 * @throws TypeError when one of the streams is locked
 * @example
 * ```ts
 * import { fromWeb, Stream } from "berkeley";
 *
 * const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
 * const stream = new Stream(fromWeb({ readable, writable }));
 * await Promise.all([stream.write("hello\n"), stream.readLine().then(console.log)]); // prints: hello
 * await stream.close();
 * ```
 */
export function fromWeb(pair: {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
}): Conn {
  return new TransportConn(new WebStreamTransport(pair.readable.getReader(), pair.writable.getWriter()));
}
