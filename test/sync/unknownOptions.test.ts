// The blocking twin refuses an option that a call does not have, before any system call.

import assert from "node:assert/strict";
import { test } from "node:test";
import { AF_INET, DatagramBatch, poll, recv_fds, send_fds, SOCK_DGRAM, Socket, socketpair } from "berkeley/sync";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

test("each blocking call refuses an unknown option, with the nearest known name", () => {
  using listener = new Socket();
  listener.bind("127.0.0.1:0");
  listener.listen();
  using udp = new Socket(AF_INET, SOCK_DGRAM);
  udp.bind("127.0.0.1:0");
  const address = udp.getsockname();
  const [left, right] = socketpair();
  using a = left;
  using b = right;
  const wrong = { tiemout: 1 } as object;
  const memory = Buffer.alloc(8);
  const calls: readonly (() => unknown)[] = [
    () => listener.accept(wrong),
    () => udp.bind(address, wrong),
    () => udp.connect(address, wrong),
    () => a.recv(1, wrong),
    () => a.recvInto(memory, wrong),
    () => a.recvmsg(1, wrong),
    () => a.send("x", wrong),
    () => a.sendAll("x", wrong),
    () => a.sendmsg("x", wrong),
    () => a.sendfile(0, wrong),
    () => a.readable(wrong),
    () => a.writable(wrong),
    () => a.end(wrong),
    () => send_fds(a, "x", [], wrong),
    () => recv_fds(a, 1, 1, wrong),
    () => udp.recvfrom(1, wrong),
    () => udp.recvfromInto(memory, wrong),
    () => udp.sendto("x", address, wrong),
    () => udp.sendSegments(memory, 4, wrong),
    () => udp.recvmmsg(new DatagramBatch({ capacity: 1, size: 8 }), wrong),
    () => udp.sendmmsg(new DatagramBatch({ capacity: 1, size: 8 }), wrong),
    () => udp.datagrams(wrong),
    () => poll([{ socket: a, events: 0 }], wrong),
  ];
  for (const call of calls) {
    assert.throws(
      call,
      /^TypeError: Cannot .*: option "tiemout" is unknown, required one of .*; did you mean "timeout"\?$/,
    );
  }
  a.send("whole");
  assert.equal(b.recv(10).toString(), "whole");
});
