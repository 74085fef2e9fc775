// The choice among the addresses of a name, on replaced calls: a family that this machine does not support is skipped.

import assert from "node:assert/strict";
import { test } from "node:test";
import { AF_INET, AF_INET6, bindUdp, connect, type InetAddress, listen, type Resolver } from "berkeley";
import { calls } from "#berkeley/sys/calls.js";
import { checkLeaks } from "../support/leaks.js";
import { rejection } from "./support.js";

checkLeaks();

test("listen() and bindUdp() pass over addresses that this machine lacks, and fail with the last error", async (t) => {
  const { bind } = calls;
  t.after(() => Object.assign(calls, { bind }));
  // Without IPv6: sa_family is the first 16 bits.
  calls.bind = (fd, address) => (address[0] === AF_INET6 || address[1] === AF_INET6 ? -99 : bind(fd, address));
  const resolver: Resolver = (_host, family) => Promise.resolve(family === AF_INET ? ["127.0.0.1"] : ["::1"]);
  await using udp = await bindUdp("udp://some.example:0", { resolver });
  assert.equal(udp.address.host, "127.0.0.1");
  await using any = await bindUdp(["", 0]);
  assert.equal(any.address.host, "0.0.0.0");
  await using listener = await listen(["", 0]);
  assert.equal((listener.address as InetAddress).host, "0.0.0.0");
  for (const failing of [bindUdp(["", 0], { ipv6Only: true }), listen(["", 0], { ipv6Only: true })]) {
    assert.equal((await rejection(failing)).code, "EADDRNOTAVAIL");
  }
  calls.bind = () => -99;
  const error = await rejection(bindUdp("udp://some.example:0", { resolver }));
  assert.equal(error.code, "EADDRNOTAVAIL");
  assert.equal((error.cause as AggregateError).errors.length, 2);
  // An error that is about the first address, and not about this machine, is reported at once.
  calls.bind = () => -98;
  assert.equal((await rejection(bindUdp("udp://some.example:0", { resolver }))).cause, undefined);
});

test("connect() makes one lookup for both families", async (t) => {
  const { getaddrinfo: real } = calls;
  t.after(() => Object.assign(calls, { getaddrinfo: real }));
  const families: number[] = [];
  calls.getaddrinfo = (...args) => {
    families.push(args[2]);
    return real(...args);
  };
  await using listener = await listen("tcp://127.0.0.1:0");
  await using stream = await connect(`tcp://localhost:${(listener.address as InetAddress).port}`);
  assert.ok(stream.remoteAddress !== undefined);
  assert.deepEqual(families, [0]);
});
