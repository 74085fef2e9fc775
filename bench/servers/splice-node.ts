// A TCP proxy on node:net. Its argument is the port of the target.

import { type AddressInfo, connect, createServer } from "node:net";

const target = Number(process.argv[2]);

const server = createServer((client) => {
  const far = connect(target, "127.0.0.1");
  client.on("error", () => far.destroy());
  far.on("error", () => client.destroy());
  client.pipe(far);
  far.pipe(client);
});
server.listen(0, "127.0.0.1", 511, () => {
  console.log(JSON.stringify({ port: (server.address() as AddressInfo).port }));
});
