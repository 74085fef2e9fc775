// What the servers among the examples share: they take connections, so many at a time, until they are told to end.

import type { ListenAddress, SocketListener, Stream } from "berkeley";

/** Milliseconds for a client to finish after us. */
const FAREWELL = 2000;

/** A connection that is served. */
interface Serving {
  readonly stream: Stream;
  /** Where it stands among those that are served. */
  at: number;
  ended: Promise<void> | undefined;
}

/** Serves each connection of a listener with `handle`, and closes it when that has ended. */
export class Clients implements AsyncDisposable {
  readonly address: ListenAddress;
  readonly #listener: SocketListener;
  /** Those that are served, in no order. A Map that many come and leave keeps dead entries from the collector's quick passes. */
  readonly #running: Serving[] = [];
  readonly #ended: Promise<void>;
  #room: (() => void) | undefined;

  /** @param most connections that are served at a time; further ones wait in the kernel's queue */
  constructor(listener: SocketListener, most: number, handle: (stream: Stream) => Promise<void>) {
    this.address = listener.address;
    this.#listener = listener;
    this.#ended = this.#accept(most, handle);
    // Who calls close() hears of it; who does not shall not be told twice.
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
      // Not close(): what the client still sends, unread, would reset the connection, last answer and all.
      await serving.stream.end({ timeout: FAREWELL });
    } catch {
      // A connection that fails ends itself and nothing else.
    }
    await serving.stream.close();
    // The last one takes the place of the one that leaves.
    const last = this.#running.pop()!;
    if (last !== serving) this.#running[(last.at = serving.at)] = last;
    this.#room?.();
  }

  /** Takes no more connections, closes those that there are, and resolves when their handlers have ended. */
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
