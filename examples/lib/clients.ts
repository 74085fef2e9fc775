// Code that the example servers share: it accepts and serves a limited number of connections at a time, until
// `close()`.

import type { ListenAddress, SocketListener, Stream } from "berkeley";

/** Milliseconds for a client to finish after the server has finished. */
const END_TIMEOUT = 2000;

/** A connection that is being served. */
interface Serving {
  readonly stream: Stream;
  /** Its index in the list of connections. */
  at: number;
  ended: Promise<void> | undefined;
}

/** Serves each connection of a listener with `handle`, and closes the connection when `handle` has ended. */
export class Clients implements AsyncDisposable {
  readonly address: ListenAddress;
  readonly #listener: SocketListener;
  /** The connections that are being served, in no order. */
  readonly #running: Serving[] = [];
  readonly #ended: Promise<void>;
  /** Resumes the accept loop, which waits while the maximum of connections is open. */
  #resume: (() => void) | undefined;

  /** @param max maximum number of connections at a time; further connections wait in the kernel's accept queue */
  constructor(listener: SocketListener, max: number, handle: (stream: Stream) => Promise<void>) {
    this.address = listener.address;
    this.#listener = listener;
    this.#ended = this.#accept(max, handle);
    // The caller of close() gets this error. Without a close() it must not become an unhandled rejection.
    this.#ended.catch(() => undefined);
  }

  get count(): number {
    return this.#running.length;
  }

  async #accept(max: number, handle: (stream: Stream) => Promise<void>): Promise<void> {
    for await (const stream of this.#listener) {
      const serving: Serving = { stream, at: this.#running.length, ended: undefined };
      this.#running.push(serving);
      serving.ended = this.#serve(serving, handle);
      if (this.#running.length >= max) await new Promise<void>((resolve) => (this.#resume = resolve));
    }
  }

  async #serve(serving: Serving, handle: (stream: Stream) => Promise<void>): Promise<void> {
    try {
      await handle(serving.stream);
      // end() and not close(): bytes that the client still sends would reset the connection, and the last answer would
      // be lost.
      await serving.stream.end({ timeout: END_TIMEOUT });
    } catch {
      // An error of a connection ends only that connection.
    }
    await serving.stream.close();
    // The last entry moves to the index of the removed one.
    const last = this.#running.pop()!;
    if (last !== serving) this.#running[(last.at = serving.at)] = last;
    this.#resume?.();
  }

  /** Accepts no more connections, closes the open ones, and resolves when their handlers have ended. */
  async close(): Promise<void> {
    await this.#listener.close();
    const running = [...this.#running];
    for (const { stream } of running) await stream.close();
    for (const { ended } of running) await ended;
    await this.#ended;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
