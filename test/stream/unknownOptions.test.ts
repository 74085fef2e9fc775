// An option with an unknown name is refused, with the nearest known name, before anything happens.
import assert from "node:assert/strict";
import { Duplex } from "node:stream";
import { test } from "node:test";
import {
  DatagramBatch,
  fromDuplex,
  recv_fds,
  send_fds,
  Socket,
  socketpair,
  Stream,
  toDuplex,
  toWeb,
  AF_UNIX,
} from "berkeley";
import { memoryPair } from "berkeley/testing";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

/** Options as a program without types passes them. */
const wrong = (name: string): object => ({ [name]: 1 });
const refused = (name: string, near: string): object => ({
  name: "TypeError",
  message: new RegExp(`option "${name}" is unknown, required one of .*; did you mean "${near}"\\?$`),
});

test("makers of streams, duplexes, web streams and batches refuse an unknown option", async () => {
  const [conn, other] = memoryPair();
  assert.throws(() => new Stream(conn, wrong("maxLines")), refused("maxLines", "maxLine"));
  assert.throws(() => toDuplex(conn, wrong("allowHalfOpn")), refused("allowHalfOpn", "allowHalfOpen"));
  assert.throws(() => toWeb(conn, wrong("readsize")), refused("readsize", "readSize"));
  assert.throws(() => new DatagramBatch(wrong("capacty")), refused("capacty", "capacity"));
  assert.throws(() => new DatagramBatch().add("x", undefined, wrong("segmentsize")), {
    message: /option "segmentsize" is unknown/,
  });
  // The refusals have left the connection alone.
  const stream = new Stream(conn);
  await other.write(Buffer.from("line\n"));
  assert.equal(await stream.readLine(), "line");
  await stream.close();
  await other.close();
});

test("fromDuplex() and Stream.fromDuplex() refuse an unknown option, and take their own", async () => {
  const duplex = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
  assert.throws(() => fromDuplex(duplex, wrong("closetimeout")), refused("closetimeout", "closeTimeout"));
  assert.throws(() => Stream.fromDuplex(duplex, wrong("closetimeout")), refused("closetimeout", "closeTimeout"));
  const stream = Stream.fromDuplex(duplex, { closeTimeout: 10, maxLine: 100 });
  await stream.close();
});

test("readable(), writable(), toNetSocket(), send_fds() and recv_fds() refuse an unknown option", async () => {
  const [left, right] = socketpair(AF_UNIX);
  await assert.rejects(left.readable(wrong("timout")), refused("timout", "timeout"));
  await assert.rejects(left.writable(wrong("timout")), refused("timout", "timeout"));
  await assert.rejects(send_fds(left, "x", [right], wrong("flag")), refused("flag", "flags"));
  await assert.rejects(send_fds(left, "x", [right], wrong("control")), { message: /option "control" is unknown/ });
  await assert.rejects(recv_fds(right, 1, 1, wrong("flag")), refused("flag", "flags"));
  const stream = left.stream();
  assert.throws(() => stream.toNetSocket(wrong("allowHalfOpn")), refused("allowHalfOpn", "allowHalfOpen"));
  await stream.close();
  right.close();
  assert.ok(right instanceof Socket && right.closed);
});
