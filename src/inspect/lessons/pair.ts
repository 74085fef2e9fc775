// Makes a connection for a lesson that begins with one.

import { SO_RCVBUF, SO_SNDBUF } from "../../options/index.js";
import type { Socket } from "../../socket/index.js";
import type { Scene } from "./scene.js";

export interface Pair {
  readonly client: Socket;
  readonly connection: Socket;
}

/**
 * Makes a connection over the loopback interface.
 *
 * @param names the names of the client and of the accepted socket
 * @param bufferSize SO_RCVBUF of the accepted socket and SO_SNDBUF of the client. Default: those of the kernel
 */
export async function connectedPair(
  scene: Scene,
  names: readonly [string, string] = ["client", "connection"],
  bufferSize?: number,
): Promise<Pair> {
  const server = scene.open("server");
  // The sockets that accept() returns have the buffer size of the listener.
  if (bufferSize !== undefined) server.setsockopt(SO_RCVBUF, bufferSize);
  await server.bind(["127.0.0.1", 0]);
  server.listen(1);
  const client = scene.open(names[0]);
  if (bufferSize !== undefined) client.setsockopt(SO_SNDBUF, bufferSize);
  const accepting = server.accept();
  await Promise.all([client.connect(server.getsockname()), accepting]);
  const connection = scene.add(names[1], (await accepting)[0]);
  server.close();
  return { client, connection };
}
