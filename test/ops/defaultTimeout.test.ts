// The timeout that new sockets start with.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { getdefaulttimeout, setdefaulttimeout, Socket, socketpair } from "berkeley";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

afterEach(() => setdefaulttimeout(null));

test("setdefaulttimeout() holds for sockets that are made, accepted or adopted from then on", async () => {
  assert.equal(getdefaulttimeout(), null);
  await using before = new Socket();
  setdefaulttimeout(1234);
  assert.equal(getdefaulttimeout(), 1234);
  assert.equal(before.timeout, null);
  await before.bind("127.0.0.1:0");
  before.listen();
  await using client = new Socket();
  await client.connect(before.getsockname());
  const [conn] = await before.accept();
  const again = Socket.fromfd(conn.detach());
  const pair = socketpair();
  assert.deepEqual(
    [client, again, ...pair].map((socket) => socket.timeout),
    [1234, 1234, 1234, 1234],
  );
  client.timeout = null;
  const copy = client.dup();
  assert.equal(copy.timeout, null, "a copy has the timeout of its original");
  for (const socket of [again, copy, ...pair]) socket.close();
});

test("the default timeout ends a call that waits", async () => {
  setdefaulttimeout(1);
  const [left, right] = socketpair();
  await assert.rejects(left.recv(1), { code: "ETIMEDOUT" });
  left.close();
  right.close();
});

test("setdefaulttimeout() refuses a value that is not a time", () => {
  for (const value of [-1, NaN, 2 ** 31, Infinity]) assert.throws(() => setdefaulttimeout(value), RangeError);
  for (const value of ["1", true, {}]) assert.throws(() => setdefaulttimeout(value as never), TypeError);
  setdefaulttimeout(2 ** 31 - 1);
  assert.equal(getdefaulttimeout(), 2 ** 31 - 1);
  setdefaulttimeout(null);
  assert.equal(getdefaulttimeout(), null);
});
