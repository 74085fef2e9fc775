// What the servers among the examples share: they take connections, so many at a time, until they are told to end.

import type { ListenAddress, SocketListener, Stream } from "berkeley";

/** Serves each connection of a listener with `handle`, and closes it when that has ended. */
export class Clients implements AsyncDisposable {
  readonly address: ListenAddress;
  readonly #listener: SocketListener;
  readonly #running = new Map<Stream, Promise<void>>();
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
    return this.#running.size;
  }

  async #accept(most: number, handle: (stream: Stream) => Promise<void>): Promise<void> {
    for await (const stream of this.#listener) {
      const serving = handle(stream)
        // A connection that fails ends itself and nothing else.
        .catch(() => undefined)
        .then(() => stream.close())
        .then(() => {
          this.#running.delete(stream);
          this.#room?.();
        });
      this.#running.set(stream, serving);
      if (this.#running.size >= most) await new Promise<void>((resolve) => (this.#room = resolve));
    }
  }

  /** Takes no more connections, closes those that there are, and resolves when their handlers have ended. */
  async close(): Promise<void> {
    await this.#listener.close();
    const running = [...this.#running];
    for (const [stream] of running) await stream.close();
    for (const [, serving] of running) await serving;
    await this.#ended;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
