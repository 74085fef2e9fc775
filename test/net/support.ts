// Pairs of connections and other helpers that the tests of this folder share.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, listen, type SocketConn, type Stream } from "berkeley";

/** Both ends of a connection to a fresh listener at `endpoint`, whose port is 0 or whose name is free. */
export async function pairAt(endpoint: string): Promise<[client: Stream, server: Stream]> {
  const listener = await listen(endpoint);
  try {
    const [client, server] = await Promise.all([connect(listener.address), listener.accept()]);
    return [client, server];
  } finally {
    await listener.close();
  }
}

/** The connection below a stream. */
export const connOf = (stream: Stream): SocketConn => stream.conn as SocketConn;

/** A folder for the sockets of a test; `await using` removes it. */
export class Folder implements AsyncDisposable {
  readonly path: string = mkdtempSync(join(tmpdir(), "berkeley-net-"));

  join(name: string): string {
    return join(this.path, name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** What a promise rejects with; fails when it resolves. */
export async function rejection(promise: Promise<unknown>): Promise<Error & { code?: string; cause?: unknown }> {
  let value: unknown;
  try {
    value = await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error(`it resolved with ${String(value)}, required a rejection`);
}

/** The errors of an AggregateError, as `code address:port`. */
export function causes(error: { cause?: unknown }): string[] {
  const { errors } = error.cause as AggregateError;
  return errors.map((one: { code?: string; address?: string; port?: number }) => {
    const place = one.address === undefined ? "" : ` ${one.address}:${one.port}`;
    return `${one.code}${place}`;
  });
}
