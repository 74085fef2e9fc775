// For every byte that a client sends, answers with the whole file. Node has no sendfile, so a read stream is piped to
// the socket.

import { once } from "node:events";
import { type ReadStream, createReadStream } from "node:fs";
import { type AddressInfo, type Socket, createServer } from "node:net";

const file = process.argv[2] as string;

async function answer(socket: Socket): Promise<void> {
  let source: ReadStream | undefined;
  socket.once("close", () => source?.destroy());
  for await (const requests of socket) {
    for (let i = 0; i < (requests as Buffer).length; i++) {
      source = createReadStream(file, { highWaterMark: 1 << 20 });
      source.pipe(socket, { end: false });
      await once(source, "close");
    }
  }
}

const server = createServer((socket) => {
  answer(socket).catch(() => socket.destroy());
});
server.listen(0, "127.0.0.1", 511, () => {
  console.log(JSON.stringify({ port: (server.address() as AddressInfo).port }));
});
