// The server of the example resp.ts on node:net, with the same parser, commands and replies. It makes one write for
// each received chunk.

import { type AddressInfo, createServer } from "node:net";
import { defaultLimits, Session, Store } from "../../examples/resp.js";

const store = new Store();
const sweeping = setInterval(() => store.sweep(), 100);

const server = createServer({ noDelay: true }, (socket) => {
  const session = new Session(store, defaultLimits);
  const { replies } = session;
  let rest: Buffer | undefined;
  socket.on("data", (chunk) => {
    const bytes = rest === undefined ? chunk : Buffer.concat([rest, chunk]);
    let start = 0;
    do {
      start = session.run(bytes, start, bytes.length);
      const data = replies.take();
      // Node may keep a reference to the bytes until they are sent, so it gets a copy that nothing overwrites.
      if (replies.size > 0)
        socket.write(Array.isArray(data) ? Buffer.concat(data as Buffer[]) : Buffer.from(data as Buffer));
      replies.taken();
    } while (session.more);
    rest = start < bytes.length ? Buffer.from(bytes.subarray(start)) : undefined;
    if (session.over) socket.end();
  });
  socket.on("error", () => socket.destroy());
});
server.on("close", () => clearInterval(sweeping));
server.listen(0, "127.0.0.1", 511, () => {
  console.log(JSON.stringify({ port: (server.address() as AddressInfo).port }));
});
