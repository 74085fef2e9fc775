// Tests of IPv6 multicast on lo. They require a route for it on lo, which systems do not have. So multicast.test.ts
// runs this file in a network namespace of its own.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  IPV6_ADD_MEMBERSHIP,
  IPV6_DROP_MEMBERSHIP,
  IPV6_JOIN_GROUP,
  IPV6_LEAVE_GROUP,
  MCAST_BLOCK_SOURCE,
  MCAST_EXCLUDE,
  MCAST_INCLUDE,
  MCAST_JOIN_GROUP,
  MCAST_JOIN_SOURCE_GROUP,
  MCAST_LEAVE_GROUP,
  MCAST_LEAVE_SOURCE_GROUP,
  MCAST_MSFILTER,
  MCAST_UNBLOCK_SOURCE,
} from "berkeley";
import { checkLeaks } from "../../support/leaks.js";
import { is, Room } from "../room.js";

checkLeaks();

describe("IPv6", () => {
  for (const group of ["ff15::77:10", "ff02::77:10"]) {
    test(`IPV6_ADD_MEMBERSHIP and IPV6_DROP_MEMBERSHIP join and leave ${group}`, async () => {
      await using room = await Room.v6();
      assert.deepEqual(await room.heard(group), []);
      room.receiver.setsockopt(IPV6_ADD_MEMBERSHIP, { group, interface: "lo" });
      assert.deepEqual(await room.heard(group), ["::1"]);
      assert.throws(() => room.receiver.setsockopt(IPV6_JOIN_GROUP, { group, interface: 1 }), is("EADDRINUSE"));
      room.receiver.setsockopt(IPV6_DROP_MEMBERSHIP, { group, interface: 1 });
      assert.deepEqual(await room.heard(group), []);
      assert.throws(() => room.receiver.setsockopt(IPV6_LEAVE_GROUP, { group, interface: "lo" }), is("EADDRNOTAVAIL"));
    });
  }

  const group = "ff15::77:11";
  const membership = { group, interface: "lo" };
  const source = { ...membership, source: "::1" };
  const stranger = { ...membership, source: "2001:db8::9" };

  test("MCAST_JOIN_GROUP and MCAST_LEAVE_GROUP, with a source blocked in between", async () => {
    await using room = await Room.v6();
    room.receiver.setsockopt(MCAST_JOIN_GROUP, membership);
    assert.deepEqual(await room.heard(group), ["::1"]);
    room.receiver.setsockopt(MCAST_BLOCK_SOURCE, stranger);
    assert.deepEqual(await room.heard(group), ["::1"]);
    room.receiver.setsockopt(MCAST_BLOCK_SOURCE, source);
    assert.deepEqual(await room.heard(group), []);
    room.receiver.setsockopt(MCAST_UNBLOCK_SOURCE, source);
    assert.deepEqual(await room.heard(group), ["::1"]);
    room.receiver.setsockopt(MCAST_LEAVE_GROUP, membership);
    assert.deepEqual(await room.heard(group), []);
  });

  test("with MCAST_JOIN_SOURCE_GROUP a socket receives from the given sources only", async () => {
    await using room = await Room.v6();
    room.receiver.setsockopt(MCAST_JOIN_SOURCE_GROUP, stranger);
    assert.deepEqual(await room.heard(group), []);
    room.receiver.setsockopt(MCAST_JOIN_SOURCE_GROUP, source);
    assert.deepEqual(await room.heard(group), ["::1"]);
    room.receiver.setsockopt(MCAST_LEAVE_SOURCE_GROUP, source);
    assert.deepEqual(await room.heard(group), []);
  });

  test("MCAST_MSFILTER sets all sources at once, and reads them", async () => {
    await using room = await Room.v6();
    room.receiver.setsockopt(MCAST_JOIN_GROUP, membership);
    const filter = { group, interface: 1, mode: MCAST_INCLUDE, sources: ["2001:db8::9", "::1"] };
    room.receiver.setsockopt(MCAST_MSFILTER, filter);
    const found = room.receiver.getsockopt(MCAST_MSFILTER.of(group, "lo"));
    assert.deepEqual({ ...found, sources: found.sources.toSorted() }, filter);
    assert.deepEqual(await room.heard(group), ["::1"]);
    room.receiver.setsockopt(MCAST_MSFILTER, { ...filter, mode: MCAST_EXCLUDE });
    assert.deepEqual(await room.heard(group), []);
  });
});
