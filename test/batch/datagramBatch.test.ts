// The memory of a batch of datagrams: datagrams are stored and read back, and wrong arguments are refused.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AddressCache,
  AF_UNIX,
  DatagramBatch,
  Inet6Address,
  InetAddress,
  NetlinkAddress,
  OpaqueAddress,
  segments,
  UnixAddress,
} from "berkeley";

test("a new batch is empty, and has the given sizes", () => {
  const batch = new DatagramBatch({ capacity: 3, size: 100 });
  assert.deepEqual([batch.capacity, batch.size, batch.count, batch.buffer.length], [3, 100, 0, 300]);
  const usual = new DatagramBatch();
  assert.deepEqual([usual.capacity, usual.size], [64, 2048]);
});

test("add() takes bytes, text and lists, until the batch is full", () => {
  const batch = new DatagramBatch({ capacity: 4, size: 8 });
  assert.equal(batch.add("zwölf"), true);
  assert.equal(batch.add(Buffer.from([1, 2, 3])), true);
  assert.equal(batch.add(["ab", Buffer.from("cd")]), true);
  assert.equal(batch.add(""), true);
  assert.equal(batch.add("no room"), false);
  assert.equal(batch.count, 4);
  assert.deepEqual(
    [...batch].map(([data]) => data.toString("latin1")),
    ["zw\u00c3\u00b6lf", "\x01\x02\x03", "abcd", ""],
  );
  assert.deepEqual(
    [0, 1, 2, 3].map((i) => batch.length(i)),
    [6, 3, 4, 0],
  );
  batch.clear();
  assert.equal(batch.count, 0);
  assert.equal(batch.add("again"), true);
});

test("add() refuses data that is too long, and does not change the batch", () => {
  const batch = new DatagramBatch({ capacity: 2, size: 4 });
  batch.add("fits");
  assert.throws(() => batch.add("longer"), {
    name: "RangeError",
    message: "Cannot add a datagram: data has 6 bytes, required at most 4",
  });
  assert.throws(() => batch.add(["abc", "de"]), RangeError);
  assert.equal(batch.count, 1);
  assert.equal(batch.data(0).toString(), "fits");
});

test("add() refuses a value that is not bytes, and addresses that can't be a destination", () => {
  const batch = new DatagramBatch();
  assert.throws(() => batch.add(7 as never), { name: "TypeError", message: /^Cannot add a datagram: data is 7/ });
  assert.throws(() => batch.add("x", ["localhost", 80]), {
    name: "TypeError",
    message: 'Cannot add a datagram: host is "localhost", required a numeric address: resolve the name first',
  });
  assert.throws(() => batch.add("x", "127.1:80"), TypeError);
  assert.throws(() => batch.add("x", new OpaqueAddress(99, new Uint8Array(200))), TypeError);
  assert.throws(() => batch.add("x", undefined, { segmentSize: 0 }), RangeError);
  assert.throws(() => batch.add("x", undefined, { segmentSize: 1.5 }), RangeError);
  assert.throws(() => batch.add("x", undefined, "1400" as never), TypeError);
  assert.equal(batch.count, 0);
});

test("addresses of every family come out as they went in", () => {
  const batch = new DatagramBatch();
  const addresses = [
    new InetAddress("127.0.0.1", 80),
    new Inet6Address("fe80::1", 81, 5, 3),
    new UnixAddress("/run/x.sock"),
    new UnixAddress("\0abstract"),
    new UnixAddress(""),
    new NetlinkAddress(7, 9),
    new OpaqueAddress(99, new Uint8Array([1, 2, 3])),
  ];
  for (const address of addresses) batch.add("x", address);
  batch.add("x");
  assert.deepEqual(
    addresses.map((_, i) => batch.address(i)),
    addresses,
  );
  assert.equal(batch.address(addresses.length), undefined);
});

test("a reused place of a batch keeps nothing of its old datagram", () => {
  const batch = new DatagramBatch({ capacity: 1, size: 100 });
  batch.add("x".repeat(100), new UnixAddress(`/${"a".repeat(100)}`), { segmentSize: 7 });
  batch.clear();
  batch.add("y", new UnixAddress("/b"));
  assert.equal(batch.data(0).toString(), "y");
  assert.equal((batch.address(0) as UnixAddress).path, "/b");
  assert.equal(batch.segmentSize(0), 0);
  assert.equal(batch.address(0)!.family, AF_UNIX);
});

test("the same peer gives the same object, in every batch", () => {
  const one = new DatagramBatch();
  const two = new DatagramBatch();
  one.add("x", "10.0.0.1:5");
  two.add("x", new InetAddress("10.0.0.1", 5));
  two.add("x", "10.0.0.1:6");
  assert.equal(one.address(0), two.address(0));
  assert.notEqual(two.address(0), two.address(1));
  assert.ok(Object.isFrozen(one.address(0)), "everybody has this object");
  two.add("x", one.address(0));
  assert.equal(two.address(2), one.address(0));
});

test("an AddressCache remembers at least so many peers, and forgets others", () => {
  const addresses = new AddressCache(100);
  const batch = new DatagramBatch({ capacity: 1, addresses });
  const seen = (port: number): unknown => {
    batch.clear();
    batch.add("x", ["10.0.0.1", port]);
    return batch.address(0);
  };
  const first = seen(1);
  for (let port = 2; port <= 100; port++) seen(port);
  assert.equal(seen(1), first, "the last 100 are remembered");
  for (let port = 1001; port <= 1400; port++) seen(port);
  assert.notEqual(seen(1), first, "what was not asked for any more is forgotten");
  assert.deepEqual(seen(1), first);
});

test("an AddressCache keeps a peer that is looked up again and again", () => {
  const addresses = new AddressCache(10);
  const batch = new DatagramBatch({ capacity: 1, addresses });
  const seen = (host: string, port: number): unknown => {
    batch.clear();
    batch.add("x", [host, port]);
    return batch.address(0);
  };
  const faithful = seen("::1", 7);
  for (let port = 1; port < 200; port++) {
    seen("127.0.0.1", port);
    assert.equal(seen("::1", 7), faithful);
  }
});

test("resize() sets the length of a datagram that was written in place", () => {
  const batch = new DatagramBatch({ capacity: 2, size: 10 });
  batch.add("x");
  batch.add("x");
  batch.buffer.write("in place", 10);
  batch.resize(1, 8);
  assert.equal(batch.data(1).toString(), "in place");
  assert.throws(() => batch.resize(1, 11), RangeError);
  assert.throws(() => batch.resize(1, -1), RangeError);
  assert.throws(() => batch.resize(1, "8" as never), TypeError);
});

test("an index outside of the batch is refused by every method", () => {
  const batch = new DatagramBatch({ capacity: 4 });
  assert.throws(() => batch.data(0), {
    name: "RangeError",
    message: "Cannot read a datagram: index is 0, required the index of a datagram, and the batch is empty",
  });
  batch.add("x");
  for (const index of [1, -1, 4, 0.5, NaN, 2 ** 32]) {
    assert.throws(() => batch.data(index), RangeError);
    assert.throws(() => batch.length(index), RangeError);
    assert.throws(() => batch.wholeLength(index), RangeError);
    assert.throws(() => batch.address(index), RangeError);
    assert.throws(() => batch.flags(index), RangeError);
    assert.throws(() => batch.truncated(index), RangeError);
    assert.throws(() => batch.control(index), RangeError);
    assert.throws(() => batch.segmentSize(index), RangeError);
    assert.throws(() => batch.segments(index), RangeError);
    assert.throws(() => batch.error(index), RangeError);
    assert.throws(() => batch.resize(index, 0), RangeError);
  }
  assert.throws(() => batch.data("0" as never), TypeError);
});

test("sizes that make no sense are refused", () => {
  for (const capacity of [0, -1, 1.5, 65_537, NaN]) assert.throws(() => new DatagramBatch({ capacity }), RangeError);
  for (const size of [0, 65_537]) assert.throws(() => new DatagramBatch({ size }), RangeError);
  assert.throws(() => new DatagramBatch({ control: 12 }), { name: "RangeError", message: /multiple of 8/ });
  assert.throws(() => new DatagramBatch({ capacity: 65_536, size: 65_536 }), {
    name: "RangeError",
    message: /^Cannot make a DatagramBatch: capacity times size is [0-9]+, required at most 1073741824 bytes$/,
  });
  assert.throws(() => new DatagramBatch({ capacity: "4" as never }), TypeError);
  assert.throws(() => new DatagramBatch({ addresses: new Map() as never }), TypeError);
  assert.throws(() => new DatagramBatch(64 as never), TypeError);
  assert.throws(() => new AddressCache(0), RangeError);
});

test("segments() splits at the size, the last may be shorter", () => {
  const split = (length: number, size: number): number[] =>
    [...segments(new Uint8Array(length), size)].map((part) => part.length);
  assert.deepEqual(split(10, 4), [4, 4, 2]);
  assert.deepEqual(split(8, 4), [4, 4]);
  assert.deepEqual(split(3, 4), [3]);
  assert.deepEqual(split(3, 0), [3]);
  assert.deepEqual(split(0, 4), [0]);
  assert.deepEqual(split(0, 0), [0]);
  assert.throws(() => segments("text" as never, 4), TypeError);
  assert.throws(() => segments(new Uint8Array(3), -1), RangeError);
});

test("segments() gives views, at the right place of a larger buffer", () => {
  const whole = Buffer.from("0123456789");
  const parts = [...segments(whole.subarray(2, 9), 3)];
  assert.deepEqual(parts.map(String), ["234", "567", "8"]);
  parts[0]![0] = 0x78;
  assert.equal(whole.toString(), "01x3456789");
});
