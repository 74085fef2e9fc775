// A program for namespaces of its own: prints the address that each call chooses for a name, as one line of JSON.

import {
  AF_INET6,
  bindUdp,
  connect,
  connectUdp,
  create_connection,
  getaddrinfo,
  type InetAddress,
  listen,
  Socket,
  SOCK_STREAM,
} from "berkeley";

const NAME = "both.example";
const host = (address: unknown): string => (address as InetAddress).host;
const order = (await getaddrinfo(NAME, 0, { type: SOCK_STREAM })).map(({ address }) => host(address));

await using listening = await listen(`tcp://${NAME}:0`);
await using any = await listen(["", 0]);
const { port } = any.address as InetAddress;
await using stream = await connect(`tcp://${NAME}:${port}`);
await using bound = await bindUdp(`udp://${NAME}:0`);
await using connected = await connectUdp(`udp://${NAME}:9`);
await using created = await create_connection([NAME, port]);
let six = "none";
if (order.some((one) => one.includes(":"))) {
  try {
    await using socket = new Socket(AF_INET6, SOCK_STREAM);
    await socket.bind([NAME, 0]);
    six = host(socket.getsockname());
  } catch {
    six = "refused";
  }
}
console.log(
  JSON.stringify({
    order,
    listen: host(listening.address),
    connect: host(stream.remoteAddress),
    bindUdp: host(bound.address),
    connectUdp: host(connected.remoteAddress),
    create_connection: host(created.getpeername()),
    six,
  }),
);
