// Which of the addresses of a name is taken: the order is the resolver's, and what this machine lacks is passed over.

import assert from "node:assert/strict";
import { test } from "node:test";
import { AF_INET, AF_INET6, bindUdp, connect, getaddrinfo, type InetAddress, listen, type Resolver } from "berkeley";
import { calls } from "#berkeley/sys/calls.js";
import { checkLeaks } from "../support/leaks.js";
import { inResolverNamespace, noResolverNamespace as skip, type ResolverFiles } from "../support/resolverNamespace.js";
import { rejection } from "./support.js";

checkLeaks();

const HOSTS = "127.0.0.1 localhost\n127.0.0.5 both.example\n::1 both.example";

interface Taken {
  readonly order: readonly string[];
  readonly six: string;
}

async function taken(files: ResolverFiles): Promise<{ order: readonly string[]; six: string; rest: Set<string> }> {
  await using program = inResolverNamespace(new URL("order.js", import.meta.url), files);
  const { status, stdout, stderr } = await program.ended;
  assert.equal(status, 0, stderr);
  const { order, six, ...rest } = JSON.parse(stdout) as Taken;
  return { order, six, rest: new Set(Object.values(rest)) };
}

test("every call takes the address that RFC 6724 puts first", { skip }, async () => {
  const { order, six, rest } = await taken({ hosts: HOSTS });
  assert.deepEqual(order, ["::1", "127.0.0.5"]);
  assert.deepEqual([...rest], ["::1"]);
  assert.equal(six, "::1");
});

test("every call takes the address that gai.conf puts first", { skip }, async () => {
  const { order, six, rest } = await taken({ hosts: HOSTS, gai: "precedence ::ffff:0:0/96 100" });
  assert.deepEqual(order, ["127.0.0.5", "::1"]);
  assert.deepEqual([...rest], ["127.0.0.5"]);
  assert.equal(six, "::1");
});

test("every call takes an address of IPv4 where IPv6 is switched off", { skip }, async () => {
  const commands = "sysctl -q -w net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.lo.disable_ipv6=1";
  const { rest } = await taken({ hosts: HOSTS, commands });
  assert.deepEqual([...rest], ["127.0.0.5"]);
});

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
  // What is wrong with the first address and not with this machine is told at once.
  calls.bind = () => -98;
  assert.equal((await rejection(bindUdp("udp://some.example:0", { resolver }))).cause, undefined);
});

test("connect() asks the system's resolver one question for both families", async (t) => {
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

test("getaddrinfo() of equal questions at the same time makes one lookup, which ends with its last caller", async (t) => {
  const real = { ...calls };
  t.after(() => Object.assign(calls, real));
  const log: string[] = [];
  let answer: ((status: number, errno: number, result: null) => void) | undefined;
  calls.getaddrinfo = (host, _service, _family, _type, _protocol, _flags, callback) => {
    log.push(`start ${host}`);
    answer = callback;
    return 7;
  };
  calls.abandonLookup = (ticket) => {
    log.push(`abandon ${ticket}`);
    return 1;
  };
  calls.resumeLookup = (ticket) => {
    log.push(`resume ${ticket}`);
    return 0;
  };
  const control = new AbortController();
  const cut = rejection(getaddrinfo("a.example", 80, { signal: control.signal }));
  const other = rejection(getaddrinfo("a.example", 80, { signal: control.signal }));
  control.abort(new Error("enough"));
  assert.equal((await cut).message, "enough");
  assert.equal((await other).message, "enough");
  assert.deepEqual(log.splice(0), ["start a.example", "abandon 7"]);
  const again = rejection(getaddrinfo("a.example", 80));
  const third = rejection(getaddrinfo("a.example", 80));
  assert.deepEqual(log.splice(0), ["resume 7"]);
  answer!(-3, 0, null);
  assert.equal((await again).code, "EAI_AGAIN");
  assert.equal((await third).code, "EAI_AGAIN");
  assert.notEqual(await again, await third, "no two callers have the same error");
  // That lookup is over: the next question is a new one. A lookup that is gone is not taken up again.
  calls.abandonLookup = () => 0;
  await assert.rejects(getaddrinfo("a.example", 80, { timeout: 1 }), { code: "ETIMEDOUT" });
  await assert.rejects(getaddrinfo("a.example", 80, { timeout: 1 }), { code: "ETIMEDOUT" });
  assert.deepEqual(log, ["start a.example", "start a.example"]);
});
