// Code of users that runs inside a call: getters and methods of its arguments, while the queue is served.

import assert from "node:assert/strict";
import { test } from "node:test";
import { AF_UNIX, SOCK_STREAM } from "berkeley";
import { runnerOf } from "#berkeley/socket/promiseRunner.js";
import { fakeKernel, IN, keepAlive, OUT, turn, watch } from "../support/fakeSocket.js";
import { checkLeaks } from "../support/leaks.js";

keepAlive();
checkLeaks();

test("a getter that closes the socket during the attempt of a call settles the call once, and no call keeps waiting", async () => {
  const { sys, reactor, socket, fire } = fakeKernel();
  const conn = socket();
  const other = socket();
  const received = watch(other.recv(10));
  sys.script("fileSize", 100);
  sys.script("sendfile", "EAGAIN", 100);
  let asked = 0;
  const file = {
    get fd(): number {
      if (++asked === 3) conn.close();
      return 9;
    },
  };
  const sent = watch(conn.sendfile(file));
  const behind = watch(conn.send("x"));
  await turn();
  assert.equal(reactor.waiting, 3);
  fire(OUT, conn);
  await turn();
  assert.equal(asked, 3);
  assert.equal((sent.error as NodeJS.ErrnoException).code, "ECANCELED");
  assert.equal((behind.error as NodeJS.ErrnoException).code, "ECANCELED");
  assert.equal(reactor.waiting, 1);
  fire(IN, other);
  assert.equal(received.state, "pending");
  other.close();
  await turn();
  assert.equal(reactor.waiting, 0);
});

test("a passed object whose fileno() closes the sending socket settles the call once", async () => {
  const { sys, reactor, socket, fire } = fakeKernel();
  const conn = socket(AF_UNIX, SOCK_STREAM);
  sys.script("sendmsg", "EAGAIN", 1);
  let asked = 0;
  const fds = [{ fileno: () => (++asked === 2 && conn.close(), 0) }];
  const sent = watch(conn.sendmsg("x", { control: [{ type: "SCM_RIGHTS", fds }] }));
  await turn();
  fire(OUT, conn);
  await turn();
  assert.equal(asked, 2);
  assert.equal((sent.error as NodeJS.ErrnoException).code, "ECANCELED");
  assert.equal(reactor.waiting, 0);
});

test("an abort whose reason can't get the property `transferred` rejects all calls under its signal", async () => {
  const { sys, socket } = fakeKernel();
  const [one, two] = [socket(), socket()];
  sys.script("send", 1, "EAGAIN", 1, "EAGAIN");
  const reason = Object.defineProperty(new Error("enough"), "transferred", { value: "mine", configurable: false });
  const abort = new AbortController();
  const sent = [one, two].map((conn) => watch(conn.sendAll("abc", { signal: abort.signal })));
  assert.deepEqual(
    sent.map(({ state }) => state),
    ["pending", "pending"],
  );
  abort.abort(reason);
  await turn();
  assert.deepEqual(
    sent.map(({ error }) => error),
    [reason, reason],
  );
  assert.equal(sys.waiting, 0);
});

test("replaced methods of a signal are not called: an abort still rejects, and a settled call leaves no listener", async () => {
  const { sys, socket, fire } = fakeKernel();
  const conn = socket();
  const abort = new AbortController();
  const no = (): never => assert.fail("called");
  Object.assign(abort.signal, { addEventListener: no, removeEventListener: no });
  const first = watch(conn.recv(1, { signal: abort.signal }));
  sys.script("recv", Buffer.from("a"));
  fire(IN, conn);
  await turn();
  assert.equal(first.state, "resolved");
  const second = watch(conn.recv(1, { signal: abort.signal }));
  abort.abort("over");
  await turn();
  assert.equal(second.error, "over");
  assert.equal(sys.waiting, 0);
});

test("if the object of an accepted connection can't be made, its descriptor is closed", async () => {
  const { sys, socket } = fakeKernel();
  const server = socket();
  sys.script("accept", () => {
    // There is no memory for the object at this moment.
    Object.defineProperty(runnerOf(server)!, "family", {
      get: () => {
        throw new RangeError("no memory");
      },
    });
    return sys.newFd();
  });
  await assert.rejects(server.accept(), RangeError);
  assert.deepEqual([...sys.open], [server.fileno()]);
});
