// The conformance suite on sockets of every family, and on every kind of connection over them.

import { test } from "node:test";
import { AF_UNIX, fromDuplex, fromWeb, socketpair, SOCK_STREAM, SocketConn, Stream, toDuplex, toWeb } from "berkeley";
import { connConformance, type ConnPair, type ConnTraits } from "berkeley/testing";
import { checkLeaks } from "../support/leaks.js";
import { connOf, pairAt } from "./support.js";
import { tlsStreams } from "./tls/support.js";

checkLeaks();

const bare = async (endpoint: string): Promise<ConnPair> => {
  const [a, b] = await pairAt(endpoint);
  return [connOf(a), connOf(b)];
};
let names = 0;
const unixName = (): string => `unix:@berkeley-conformance-${process.pid}-${names++}`;
const noReset: ConnTraits = { reset: false };

const kinds = [
  ...connConformance("TCP over IPv4", () => bare("tcp://127.0.0.1:0")),
  ...connConformance("TCP over IPv6", () => bare("tcp://[::1]:0")),
  ...connConformance("a UNIX socket", () => bare(unixName()), noReset),
  ...connConformance(
    "a socketpair",
    () => {
      const [a, b] = socketpair(AF_UNIX, SOCK_STREAM);
      return [new SocketConn(a), new SocketConn(b)];
    },
    noReset,
  ),
  ...connConformance("a stream over TCP", () => pairAt("tcp://127.0.0.1:0")),
  ...connConformance("a stream over TLS", () => tlsStreams()),
  ...connConformance(
    "Socket.stream()",
    () => {
      const [a, b] = socketpair(AF_UNIX, SOCK_STREAM);
      return [a.stream({ readSize: 1000 }), b.stream()];
    },
    noReset,
  ),
  ...connConformance("a Duplex round trip over TCP", async () => {
    const [a, b] = await bare("tcp://127.0.0.1:0");
    return [fromDuplex(toDuplex(a)), fromDuplex(toDuplex(b))];
  }),
  ...connConformance("a web stream round trip over TCP", async () => {
    const [a, b] = await bare("tcp://127.0.0.1:0");
    return [fromWeb(toWeb(a)), fromWeb(toWeb(b))];
  }),
  ...connConformance("a stream over a Duplex over a stream over TCP", async () => {
    const [a, b] = await pairAt("tcp://[::1]:0");
    return [new Stream(fromDuplex(a.toDuplex())), new Stream(fromDuplex(b.toDuplex()))];
  }),
];

for (const { name, run } of kinds) test(name, run);
