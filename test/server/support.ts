// Functions that the tests of servers share.

import { connect, type EndpointLike, type Stream } from "berkeley";
import type { Server } from "berkeley/server";

/** The endpoint of a server. */
export const endpointOf = (server: Server): EndpointLike => server.address as EndpointLike;

export const connectTo = (server: Server, opts?: { localAddress?: string }): Promise<Stream> =>
  connect(endpointOf(server), opts?.localAddress === undefined ? {} : { localAddress: [opts.localAddress, 0] });

/** A promise and its functions. */
export function deferred<T = void>(): {
  promise: Promise<T>;
  resolve: (value: T) => void;
  reject: (error: unknown) => void;
} {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

/** How reading a stream to its end went: the bytes, or the code of the error. */
export async function readToEnd(stream: Stream): Promise<string> {
  let text = "";
  try {
    for await (const chunk of stream) text += chunk.toString();
    return `end:${text}`;
  } catch (error) {
    return (error as { code: string }).code;
  }
}
