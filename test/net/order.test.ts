// The choice among the addresses of a name: in the order of the resolver.

import assert from "node:assert/strict";
import { test } from "node:test";
import { checkLeaks } from "../support/leaks.js";
import { inResolverNamespace, noResolverNamespace as skip, type ResolverFiles } from "../support/resolverNamespace.js";

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
