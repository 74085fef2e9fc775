// Between a Conn and web streams, both ways: a byte stream and a writable over a Conn, and a Conn over such a pair.
//
// See the Streams Standard (https://streams.spec.whatwg.org), "readable byte streams".

import type { ReadableStream, WritableStream } from "node:stream/web";
import { isNativeError, isUint8Array } from "node:util/types";
import { streamWeb } from "../builtins.js";
import type { SocketError } from "../errors/index.js";
import type { Conn, Data } from "../io.js";
import { BridgeConn, type Shore } from "./bridge.js";
import { ReadBuffer } from "./buffer.js";
import { localError } from "../wait/localError.js";

/** The controller of a readable byte stream; Node's types lack the request. */
export interface ByteController {
  readonly byobRequest: { readonly view: Uint8Array; respond(bytesWritten: number): void } | null;
  enqueue(chunk: Uint8Array): void;
  close(): void;
}

/**
 * One pull of a byte stream: reads once, into the reader's own memory where it brought some, else into `buffer`, and closes
 * the stream at the end. Returns the number of bytes.
 */
export async function pullBytes(
  controller: ByteController,
  buffer: ReadBuffer,
  read: (target: Uint8Array) => Promise<number>,
): Promise<number> {
  const request = controller.byobRequest;
  const count = await read(request === null ? buffer.room() : request.view);
  if (count === 0) {
    controller.close();
    request?.respond(0);
  } else if (request !== null) {
    request.respond(count);
  } else {
    // A byte stream takes the memory of its chunk away, so it gets its own.
    buffer.commit(count);
    const chunk = new Uint8Array(count);
    buffer.copyInto(chunk);
    controller.enqueue(chunk);
  }
  return count;
}

/** The two halves of a connection as web streams. */
export interface WebPair {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Data>;
}

/** How the web streams buffer. */
export interface ToWebOptions {
  /** Most bytes of one read, where the reader brings no buffer of its own. Default 64 KiB. */
  readonly readSize?: number | undefined;
}

/**
 * A connection as web streams, which own it from now on. `readable` is a byte stream: a BYOB reader's buffer is filled by
 * the connection without a copy, and nothing is read before someone asks. `writable` takes strings and bytes; `ready`
 * waits while one write is under way. The connection is closed when the readable has ended, failed or was cancelled and
 * the writable was closed or has failed; aborting the writable aborts the connection.
 *
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
  const buffer = new ReadBuffer(opts.readSize ?? 65_536);
  const cancelled = new AbortController();
  const { signal } = cancelled;
  let readDone = false;
  let writeDone = false;
  const finish = (): Promise<void> | undefined => (readDone && writeDone ? conn.close() : undefined);

  const read = async (target: Uint8Array): Promise<number> => {
    const count = await conn.read(target, { signal });
    if (count === 0) {
      readDone = true;
      await finish();
    }
    return count;
  };

  const readable = new (streamWeb().ReadableStream)({
    type: "bytes",
    async pull(controller) {
      try {
        await pullBytes(controller as unknown as ByteController, buffer, read);
      } catch (error) {
        if (signal.aborted) return;
        readDone = true;
        await finish();
        throw error;
      }
    },
    async cancel() {
      readDone = true;
      cancelled.abort();
      await finish();
    },
  });

  const writable = new (streamWeb().WritableStream)<Data>({
    start(controller) {
      // A pipe to it waits for its source and hears of its end only from here. Weakly: a watch is nobody's use of the pair.
      const weak = new WeakRef(controller);
      const gone = (error: unknown): void => {
        if (writeDone) return;
        writeDone = true;
        weak.deref()?.error(error);
        void finish();
      };
      conn.whenBroken?.().then(gone, () => undefined);
    },
    async write(data) {
      try {
        await conn.write(data);
      } catch (error) {
        writeDone = true;
        await finish();
        throw error;
      }
    },
    async close() {
      try {
        await conn.closeWrite();
      } finally {
        writeDone = true;
        await finish();
      }
    },
    abort() {
      conn.abort();
    },
  });
  return { readable, writable };
}

class WebShore implements Shore {
  readonly localAddress = undefined;
  readonly remoteAddress = undefined;
  readonly #reader: ReadableStreamDefaultReader<unknown>;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  #ended = false;

  constructor(readable: ReadableStreamDefaultReader<unknown>, writer: WritableStreamDefaultWriter<Uint8Array>) {
    this.#reader = readable;
    this.#writer = writer;
    // What goes wrong is told by read() and write(); these would be rejections that nobody handles.
    this.#reader.closed.catch(() => undefined);
    this.#writer.closed.catch(() => undefined);
    this.#writer.ready.catch(() => undefined);
  }

  async pull(): Promise<Uint8Array | null> {
    const { done, value } = await this.#reader.read();
    if (done) return null;
    if (isUint8Array(value)) return value;
    await this.#reader.cancel();
    throw new TypeError(`A readable must give bytes, found ${typeof value}`);
  }

  onBroken(tell: (error: unknown) => void): void {
    this.#writer.closed.catch((error: unknown) =>
      tell(error instanceof Error ? error : localError("EPIPE", "write", { cause: error })),
    );
  }

  push(bytes: Uint8Array): Promise<void> {
    return this.#failing(this.#writer.write(bytes));
  }

  async end(): Promise<void> {
    this.#ended = true;
    await this.#failing(this.#writer.close());
  }

  async close(): Promise<void> {
    const closed = this.#ended ? Promise.resolve() : this.#writer.close();
    await Promise.allSettled([closed, this.#reader.cancel()]);
  }

  abort(error: SocketError): void {
    this.#writer.abort(error).catch(() => undefined);
    this.#reader.cancel(error).catch(() => undefined);
  }

  /** A web stream may fail with anything; a write rejects with an error of its own kind where that says nothing. */
  async #failing(written: Promise<void>): Promise<void> {
    this.#writer.ready.catch(() => undefined);
    try {
      await written;
    } catch (error) {
      throw error instanceof Error || isNativeError(error) ? error : localError("EPIPE", "write", { cause: error });
    }
  }
}

/**
 * A connection over a pair of web streams, which it owns (and locks) from now on. `close()` closes the writable and cancels
 * the readable, `abort()` aborts and cancels them. What they fail with is what `read` and `write` reject with.
 *
 * Throws a `TypeError` when one of them is locked.
 */
export function fromWeb(pair: {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
}): Conn {
  return new BridgeConn(new WebShore(pair.readable.getReader(), pair.writable.getWriter()));
}
