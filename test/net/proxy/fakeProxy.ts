// A proxy for tests: it reads and sends the bytes of its script, and then connects both sides or ends.

import assert from "node:assert/strict";
import { connect, type EndpointLike, type InetAddress, listen, type SocketListener, type Stream } from "berkeley";

export type Script = (client: Stream) => Promise<void>;

/** Serves one client after the other by `script`; what goes wrong there comes out of `close()`. */
export class FakeProxy implements AsyncDisposable {
  readonly port: number;
  readonly #listener: SocketListener;
  readonly #serving: Promise<void>;

  private constructor(listener: SocketListener, script: Script) {
    this.#listener = listener;
    this.port = (listener.address as InetAddress).port;
    this.#serving = this.#serve(script);
    this.#serving.catch(() => undefined);
  }

  static async open(script: Script): Promise<FakeProxy> {
    return new FakeProxy(await listen("tcp://127.0.0.1:0"), script);
  }

  async #serve(script: Script): Promise<void> {
    for await (const client of this.#listener) {
      try {
        await script(client);
      } finally {
        await client.close();
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#listener.close();
    await this.#serving;
  }
}

/** Reads exactly these bytes, which are numbers and text. */
export async function expectBytes(client: Stream, ...parts: readonly (number | string)[]): Promise<void> {
  const expected = bytes(...parts);
  assert.deepEqual(await client.readExactly(expected.length), expected);
}

export function bytes(...parts: readonly (number | string)[]): Buffer {
  return Buffer.concat(parts.map((part) => (typeof part === "number" ? Buffer.of(part) : Buffer.from(part))));
}

/** Joins the client with a destination until one of them ends. */
export async function join(client: Stream, destination: EndpointLike): Promise<void> {
  await using server = await connect(destination);
  const there = client.pipeTo(server);
  const back = server.pipeTo(client);
  await Promise.allSettled([there, back]);
}
