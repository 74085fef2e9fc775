// A program for a network namespace with several addresses on the device "here". It sends to a server at the wildcard
// through each address, and prints the source addresses of the answers.

import { AF_INET6, bindUdp, if_nametoindex, type Inet6Address, IPV6_JOIN_GROUP, Socket, SOCK_DGRAM } from "berkeley";

const here = if_nametoindex("here");
await using server = await bindUdp(["", 0]);
const { port } = server.address;

const print = (asked: string, from: string, local: Inet6Address | undefined, ifindex: number | undefined): void => {
  const scope = local?.scopeid ? `%${local.scopeid}` : "";
  console.log(JSON.stringify({ asked, from, local: local === undefined ? "none" : `${local.host}${scope}`, ifindex }));
};

for (const host of ["[fd09::1]", "[fd09::2]", "[fd09::3]", `[fe80::99%${here}]`, "10.9.0.1", "10.9.0.2"]) {
  const asked = `${host}:${port}`;
  await using client = await bindUdp(host.startsWith("[") ? "udp://[::]:0" : "udp://0.0.0.0:0");
  await client.send("question", asked);
  const { address, localAddress, ifindex } = await server.receive({ timeout: 10_000 });
  await server.send("answer", address);
  const answer = await client.receive({ timeout: 10_000 });
  print(asked, answer.address.host, localAddress as Inet6Address, ifindex);
}

// A packet for a group: the kernel chooses where the answer comes from.
server.socket.setsockopt(IPV6_JOIN_GROUP, { group: "ff02::1234", interface: here });
await using client = new Socket(AF_INET6, SOCK_DGRAM);
await client.sendto("question", `[ff02::1234%${here}]:${port}`);
const { address, localAddress, ifindex } = await server.receive({ timeout: 10_000 });
await server.send("answer", address);
const answer = await client.recv(100, { timeout: 10_000 });
print("group", answer.toString() === "answer" ? "answered" : "", localAddress as Inet6Address | undefined, ifindex);
