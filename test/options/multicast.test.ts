// Joining, leaving and source filters with real datagrams on lo.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import {
  AF_INET,
  IP_ADD_MEMBERSHIP,
  IP_ADD_SOURCE_MEMBERSHIP,
  IP_BLOCK_SOURCE,
  IP_DROP_MEMBERSHIP,
  IP_DROP_SOURCE_MEMBERSHIP,
  IP_MSFILTER,
  IP_MULTICAST_ALL,
  IP_UNBLOCK_SOURCE,
  MCAST_BLOCK_SOURCE,
  MCAST_EXCLUDE,
  MCAST_INCLUDE,
  MCAST_JOIN_GROUP,
  MCAST_JOIN_SOURCE_GROUP,
  MCAST_LEAVE_GROUP,
  MCAST_LEAVE_SOURCE_GROUP,
  MCAST_MSFILTER,
  MCAST_UNBLOCK_SOURCE,
  SOCK_DGRAM,
  Socket,
} from "berkeley";
import { checkLeaks } from "../support/leaks.js";
import { runInNamespace } from "./namespace.js";
import { is, Room } from "./room.js";

checkLeaks();

describe("IPv4", () => {
  const group = "239.255.77.10";

  for (const [how, membership] of [
    ["the name of an interface", { group, interface: "lo" }],
    ["the index of an interface", { group, interface: 1 }],
    ["an address of an interface", { group, address: "127.0.0.1" }],
  ] as const) {
    test(`IP_ADD_MEMBERSHIP and IP_DROP_MEMBERSHIP join and leave by ${how}`, async () => {
      await using room = await Room.v4();
      assert.deepEqual(await room.heard(group), []);
      room.receiver.setsockopt(IP_ADD_MEMBERSHIP, membership);
      assert.deepEqual(await room.heard(group), ["127.0.0.1"]);
      assert.deepEqual(await room.heard("239.255.77.11"), []);
      assert.throws(() => room.receiver.setsockopt(IP_ADD_MEMBERSHIP, membership), is("EADDRINUSE"));
      room.receiver.setsockopt(IP_DROP_MEMBERSHIP, membership);
      assert.deepEqual(await room.heard(group), []);
      assert.throws(() => room.receiver.setsockopt(IP_DROP_MEMBERSHIP, membership), is("EADDRNOTAVAIL"));
    });
  }

  for (const [how, via] of [
    ["an address", "127.0.0.1"],
    ["an index", 1],
    ["a name", { interface: "lo" }],
  ] as const) {
    test(`IP_MULTICAST_IF chooses the interface by ${how}`, async () => {
      await using room = await Room.v4(["127.0.0.1"], via);
      room.receiver.setsockopt(IP_ADD_MEMBERSHIP, { group, interface: "lo" });
      assert.deepEqual(await room.heard(group), ["127.0.0.1"]);
    });
  }

  test("with IP_MULTICAST_ALL a wildcard socket receives from groups that another socket has joined", async () => {
    await using room = await Room.v4();
    using other = new Socket(AF_INET, SOCK_DGRAM);
    other.setsockopt(IP_ADD_MEMBERSHIP, { group, interface: "lo" });
    assert.deepEqual(await room.heard(group), []);
    room.receiver.setsockopt(IP_MULTICAST_ALL, true);
    assert.deepEqual(await room.heard(group), ["127.0.0.1"]);
  });

  const sources = ["127.0.0.2", "127.0.0.3"];
  const from = (source: string): { group: string; source: string; address: string } => ({
    group,
    source,
    address: "127.0.0.1",
  });

  test("IP_ADD_SOURCE_MEMBERSHIP and IP_DROP_SOURCE_MEMBERSHIP select the sources of a group", async () => {
    await using room = await Room.v4(sources);
    room.receiver.setsockopt(IP_ADD_SOURCE_MEMBERSHIP, from("127.0.0.3"));
    assert.deepEqual(await room.heard(group), ["127.0.0.3"]);
    room.receiver.setsockopt(IP_ADD_SOURCE_MEMBERSHIP, from("127.0.0.2"));
    assert.deepEqual(await room.heard(group), sources);
    room.receiver.setsockopt(IP_DROP_SOURCE_MEMBERSHIP, from("127.0.0.3"));
    assert.deepEqual(await room.heard(group), ["127.0.0.2"]);
    room.receiver.setsockopt(IP_DROP_SOURCE_MEMBERSHIP, from("127.0.0.2"));
    assert.deepEqual(await room.heard(group), []);
  });

  test("IP_BLOCK_SOURCE blocks one source, and IP_UNBLOCK_SOURCE allows it again", async () => {
    await using room = await Room.v4(sources);
    room.receiver.setsockopt(IP_ADD_MEMBERSHIP, { group, address: "127.0.0.1" });
    assert.throws(() => room.receiver.setsockopt(IP_UNBLOCK_SOURCE, from("127.0.0.2")), is("EADDRNOTAVAIL"));
    room.receiver.setsockopt(IP_BLOCK_SOURCE, from("127.0.0.2"));
    assert.deepEqual(await room.heard(group), ["127.0.0.3"]);
    room.receiver.setsockopt(IP_UNBLOCK_SOURCE, from("127.0.0.2"));
    assert.deepEqual(await room.heard(group), sources);
  });

  test("IP_MSFILTER sets all sources at once, and reads them", async () => {
    await using room = await Room.v4(sources);
    room.receiver.setsockopt(IP_ADD_MEMBERSHIP, { group, address: "127.0.0.1" });
    const question = IP_MSFILTER.of(group, "127.0.0.1");
    assert.deepEqual(room.receiver.getsockopt(question), {
      group,
      address: "127.0.0.1",
      mode: MCAST_EXCLUDE,
      sources: [],
    });
    const filter = { group, address: "127.0.0.1", mode: MCAST_INCLUDE, sources: ["127.0.0.3"] };
    room.receiver.setsockopt(IP_MSFILTER, filter);
    assert.deepEqual(room.receiver.getsockopt(question), filter);
    assert.deepEqual(await room.heard(group), ["127.0.0.3"]);
    room.receiver.setsockopt(IP_MSFILTER, { ...filter, mode: MCAST_EXCLUDE });
    assert.deepEqual(await room.heard(group), ["127.0.0.2"]);
  });

  test("the MCAST_ options do the same for IPv4", async () => {
    await using room = await Room.v4(sources);
    const membership = { group, interface: "lo" };
    const source = { ...membership, source: "127.0.0.2" };
    room.receiver.setsockopt(MCAST_JOIN_GROUP, membership);
    room.receiver.setsockopt(MCAST_BLOCK_SOURCE, source);
    assert.deepEqual(await room.heard(group), ["127.0.0.3"]);
    room.receiver.setsockopt(MCAST_UNBLOCK_SOURCE, source);
    assert.deepEqual(await room.heard(group), sources);
    room.receiver.setsockopt(MCAST_LEAVE_GROUP, membership);
    assert.deepEqual(await room.heard(group), []);
    room.receiver.setsockopt(MCAST_JOIN_SOURCE_GROUP, source);
    assert.deepEqual(await room.heard(group), ["127.0.0.2"]);
    room.receiver.setsockopt(MCAST_LEAVE_SOURCE_GROUP, source);
    assert.deepEqual(await room.heard(group), []);
  });

  test("MCAST_MSFILTER sets all sources of IPv4 at once, and reads them", async () => {
    await using room = await Room.v4(sources);
    room.receiver.setsockopt(MCAST_JOIN_GROUP, { group, interface: "lo" });
    const filter = { group, interface: 1, mode: MCAST_INCLUDE, sources };
    room.receiver.setsockopt(MCAST_MSFILTER, filter);
    assert.deepEqual(room.receiver.getsockopt(MCAST_MSFILTER.of(group, "lo")), filter);
    assert.deepEqual(await room.heard(group), sources);
    room.receiver.setsockopt(MCAST_MSFILTER, { ...filter, mode: MCAST_EXCLUDE });
    assert.deepEqual(await room.heard(group), []);
  });

  test("a group that is none is the kernel's EINVAL", async () => {
    await using room = await Room.v4();
    assert.throws(() => room.receiver.setsockopt(IP_ADD_MEMBERSHIP, { group: "10.0.0.1" }), is("EINVAL"));
  });
});

test("IPv6, in a network namespace in which lo has a route for multicast", (t) => {
  const program = fileURLToPath(new URL("programs/multicast6.js", import.meta.url));
  const output = runInNamespace("ip -6 route add local ff00::/8 dev lo table local", program);
  if (output === undefined) {
    t.skip("no network namespace of our own here");
    return;
  }
  t.diagnostic(
    output
      .trim()
      .split("\n")
      .filter((line) => /^(#|ℹ) (tests|pass|fail)/.test(line))
      .join(", "),
  );
  assert.match(output, /^(#|ℹ) pass 5$/m, output);
  assert.match(output, /^(#|ℹ) fail 0$/m, output);
});
