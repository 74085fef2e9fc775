// Code that the example servers share: it accepts and serves a limited number of connections at a time, until
// `close()`.

import type { ListenAddress, SocketListener, Stream } from "berkeley";

/** Milliseconds for a client to finish after the server has. */
const FAREWELL = 2000;

/** A connection in service. */
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
  /**
   * The connections in service, in no order. In a Map with many changes, removed entries would survive young
   * collections.
   */
  readonly #running: Serving[] = [];
  readonly #ended: Promise<void>;
  #room: (() => void) | undefined;

  /** @param most connections in service at a time; further connections wait in the kernel's accept queue */
  constructor(listener: SocketListener, most: number, handle: (stream: Stream) => Promise<void>) {
    this.address = listener.address;
    this.#listener = listener;
    this.#ended = this.#accept(most, handle);
    // The caller of close() gets this error. Without a close() it must not become an unhandled rejection.
    this.#ended.catch(() => undefined);
  }

  get count(): number {
    return this.#running.length;
  }

  async #accept(most: number, handle: (stream: Stream) => Promise<void>): Promise<void> {
    for await (const stream of this.#listener) {
      const serving: Serving = { stream, at: this.#running.length, ended: undefined };
      this.#running.push(serving);
      serving.ended = this.#serve(serving, handle);
      if (this.#running.length >= most) await new Promise<void>((resolve) => (this.#room = resolve));
    }
  }

  async #serve(serving: Serving, handle: (stream: Stream) => Promise<void>): Promise<void> {
    try {
      await handle(serving.stream);
      // end() and not close(): bytes that the client still sends would reset the connection, and the last answer would
      // be lost.
      await serving.stream.end({ timeout: FAREWELL });
    } catch {
      // An error of a connection ends only that connection.
    }
    await serving.stream.close();
    // The last entry moves to the index of the removed one.
    const last = this.#running.pop()!;
    if (last !== serving) this.#running[(last.at = serving.at)] = last;
    this.#room?.();
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
