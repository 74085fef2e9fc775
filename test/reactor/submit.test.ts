// submit(): calls that end with a callback and not with a promise.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Address, Socket } from "berkeley";
import { toAddress } from "#berkeley/addr/index.js";
import { type CompletionHandler, PENDING } from "#berkeley/reactor/index.js";
import { connectTo } from "#berkeley/socket/connecting.js";
import { descriptorOf } from "#berkeley/socket/promiseRunner.js";
import { READABLE } from "#berkeley/ops/readiness.js";
import { ERR, fakeKernel, HUP, IN, keepAlive, OUT, turn } from "../support/fakeSocket.js";
import { checkLeaks } from "../support/leaks.js";

keepAlive();
checkLeaks();

class RecordingHandler implements CompletionHandler<void> {
  readonly ends: unknown[] = [];
  after: (() => void) | undefined;

  onCompleted(): void {
    this.ends.push("settled");
    this.after?.();
  }

  onFailed(error: unknown): void {
    this.ends.push((error as { code?: string }).code ?? error);
    this.after?.();
  }
}

const submit = (socket: Socket, handler: RecordingHandler, timeout: number | null = null): unknown =>
  descriptorOf(socket).reading.submit(handler, socket, READABLE, undefined, undefined, timeout);

test("a result that is available at once is returned, without a callback", () => {
  const { sys, socket } = fakeKernel();
  sys.script("poll", IN);
  const handler = new RecordingHandler();
  assert.equal(submit(socket(), handler), undefined);
  assert.deepEqual(handler.ends, []);
});

test("a waiting call gets its callback during the event; an error that occurs at once is thrown", () => {
  const { sys, socket, fire } = fakeKernel();
  const one = socket();
  const handler = new RecordingHandler();
  sys.script("poll", 0, IN);
  assert.equal(submit(one, handler), PENDING);
  fire(IN, one);
  assert.deepEqual(handler.ends, ["settled"]);
  sys.script("poll", "EINVAL");
  assert.throws(() => submit(one, handler), { code: "EINVAL", syscall: "poll" });
  one.close();
  assert.throws(() => submit(one, handler), { code: "EBADF" });
  assert.equal(handler.ends.length, 1);
});

test("a callback can submit the call again, or close the descriptor of the calls after it", () => {
  const { sys, socket, fire } = fakeKernel();
  const one = socket();
  const [first, second, third] = [new RecordingHandler(), new RecordingHandler(), new RecordingHandler()];
  sys.script("poll", 0, IN, 0);
  submit(one, first);
  submit(one, second);
  first.after = () => {
    first.after = () => one.close();
    assert.equal(submit(one, first), PENDING, "behind the second");
  };
  fire(IN, one);
  assert.deepEqual([first.ends, second.ends], [["settled"], []]);
  submit(one, third);
  sys.script("poll", IN, IN);
  fire(IN, one);
  assert.deepEqual([first.ends, second.ends, third.ends], [["settled", "settled"], ["settled"], ["ECANCELED"]]);
  assert.equal(one.closed, true);
});

test("a deadline and close() call the callback, once for each call, even if the first callback closes the descriptor", async () => {
  const { sys, socket } = fakeKernel();
  const one = socket();
  const [first, second] = [new RecordingHandler(), new RecordingHandler()];
  sys.always("poll", 0);
  submit(one, first, 5);
  submit(one, second, 5);
  first.after = () => one.close();
  // Both deadlines have passed when the timer runs.
  for (const end = performance.now() + 20; performance.now() < end;);
  while (first.ends.length + second.ends.length < 2) await turn();
  await turn();
  assert.deepEqual([first.ends, second.ends], [["ETIMEDOUT"], ["ETIMEDOUT"]]);
  const other = socket();
  const third = new RecordingHandler();
  submit(other, third);
  other.close();
  assert.deepEqual(third.ends, ["ECANCELED"]);
});

const far = toAddress("192.0.2.1:9") as Address;
const near = toAddress("127.0.0.1:9") as Address;

test("the event alone shows that a new TCP socket is connected", async () => {
  const { sys, socket, fire } = fakeKernel();
  const one = socket();
  const handler = new RecordingHandler();
  sys.script("connect", "EINPROGRESS");
  assert.equal(connectTo(handler, one, far, true, null), PENDING);
  fire(OUT, one);
  assert.deepEqual(handler.ends, ["settled"]);
  assert.equal(sys.count("connect"), 1);
  // Nothing has arrived yet, so no system call is made before an event.
  sys.script("recv", 3);
  const received = one.recv(10);
  assert.equal(sys.count("recv"), 0);
  fire(IN, one);
  assert.equal(sys.count("recv"), 1);
  assert.equal((await received).length, 3);
});

test("an event with an error, and an early event, cause a query of the kernel", () => {
  const { sys, socket, fire } = fakeKernel();
  const one = socket();
  const handler = new RecordingHandler();
  sys.script("connect", "EINPROGRESS", "EALREADY", "ECONNREFUSED");
  connectTo(handler, one, far, true, null);
  fire(OUT | HUP, one);
  assert.deepEqual(handler.ends, []);
  fire(OUT | ERR | HUP, one);
  assert.deepEqual(handler.ends, ["ECONNREFUSED"]);
});

test("for a socket that is not TCP, or was used before, the kernel is queried", async () => {
  const { sys, socket, fire } = fakeKernel();
  const one = socket();
  const handler = new RecordingHandler();
  sys.script("connect", "EINPROGRESS", 0);
  connectTo(handler, one, far, false, null);
  fire(OUT, one);
  assert.deepEqual(handler.ends, ["settled"]);
  assert.equal(sys.count("connect"), 2);
  const two = socket();
  sys.script("connect", "EINPROGRESS", "EALREADY", 0);
  const connecting = two.connect(far);
  fire(OUT, two);
  assert.equal(sys.count("connect"), 4);
  fire(OUT, two);
  await connecting;
});

test("a connection to this machine is checked at once, and waited for if it is not established", async () => {
  const { sys, socket, fire } = fakeKernel();
  sys.script("connect", "EINPROGRESS", 0);
  await socket().connect(near);
  assert.equal(sys.count("connect"), 2);
  sys.script("connect", "EINPROGRESS", "EALREADY", 0);
  const one = socket();
  const connecting = one.connect(toAddress("[::1]:9"));
  assert.equal(sys.count("connect"), 4);
  fire(OUT, one);
  await connecting;
  sys.script("connect", "EINPROGRESS", "ECONNREFUSED");
  await assert.rejects(socket().connect(near), { code: "ECONNREFUSED" });
});
