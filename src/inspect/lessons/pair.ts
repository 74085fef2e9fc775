// Makes a connection for a lesson that begins with one.

import { SO_RCVBUF, SO_SNDBUF } from "../../options/index.js";
import type { Socket } from "../../socket/index.js";
import type { Scene } from "./scene.js";

export interface Pair {
  readonly client: Socket;
  readonly connection: Socket;
}

/** @param buffer SO_RCVBUF of the connection and SO_SNDBUF of the client; if absent, the defaults of the kernel */
export async function connectedPair(
  scene: Scene,
  names: readonly [string, string] = ["client", "connection"],
  buffer?: number,
): Promise<Pair> {
  const server = scene.open("server");
  // The sockets that accept() returns have the buffer of the listener.
  if (buffer !== undefined) server.setsockopt(SO_RCVBUF, buffer);
  await server.bind(["127.0.0.1", 0]);
  server.listen(1);
  const client = scene.open(names[0]);
  if (buffer !== undefined) client.setsockopt(SO_SNDBUF, buffer);
  const accepting = server.accept();
  await Promise.all([client.connect(server.getsockname()), accepting]);
  const connection = scene.add(names[1], (await accepting)[0]);
  server.close();
  return { client, connection };
}
