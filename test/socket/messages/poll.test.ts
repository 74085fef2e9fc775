// poll() over sockets and raw descriptors.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import {
  AF_INET,
  AF_UNIX,
  MSG_OOB,
  poll,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLNVAL,
  POLLOUT,
  POLLPRI,
  POLLRDHUP,
  type PollEntry,
  SHUT_WR,
  SOCK_DGRAM,
  SOCK_STREAM,
  Socket,
  socketpair,
  type WaitOptions,
} from "berkeley";
import { turn } from "../../support/clock.js";
import { checkLeaks, openDescriptors } from "../../support/leaks.js";
import { closing, tcpPair } from "./support.js";

checkLeaks();

test("poll() returns the entries that are ready, in order, as they were given", async () => {
  await using pair = closing(socketpair());
  const [left, right] = pair;
  await left.sendAll("x");
  const entries = [
    { socket: left, events: POLLIN, name: "not readable" },
    { socket: right, events: POLLIN | POLLOUT, name: "both" },
    { socket: left, events: POLLOUT, name: "writable" },
    { fd: right.fileno(), events: POLLIN, name: "the number" },
  ];
  const ready = await poll(entries);
  assert.deepEqual(
    ready.map(({ entry, revents }) => [entry.name, revents]),
    [
      ["both", POLLIN | POLLOUT],
      ["writable", POLLOUT],
      ["the number", POLLIN],
    ],
  );
  assert.equal(ready[0]!.entry, entries[1]);
  assert.equal((await right.recv(10)).toString(), "x");
});

test("poll() waits until something is ready, however many entries and calls there are", async () => {
  const pairs = Array.from({ length: 50 }, () => socketpair());
  const entries = pairs.map(([, right]) => ({ socket: right, events: POLLIN }));
  const twice = [...entries, ...entries, { fd: pairs[7]![1].fileno(), events: POLLIN | POLLPRI }];
  const waiting = [poll(entries), poll(twice), poll(entries.slice(0, 8))];
  const reading = pairs[9]![1].recv(10);
  await turn();
  await turn();
  await pairs[7]![0].sendAll("x");
  assert.deepEqual(
    (await waiting[0]!).map(({ entry }) => entry),
    [entries[7]],
  );
  assert.equal((await waiting[1]!).length, 3);
  assert.equal((await waiting[2]!).length, 1);
  await pairs[9]![0].sendAll("y");
  assert.equal((await reading).toString(), "y");
  for (const socket of pairs.flat()) socket.close();
});

test("poll() with a timeout gives no entry when it has passed", async () => {
  await using pair = closing(socketpair());
  const [, right] = pair;
  const start = performance.now();
  assert.deepEqual(await poll([{ socket: right, events: POLLIN }], { timeout: 20 }), []);
  assert.ok(performance.now() - start >= 19);
  assert.deepEqual(await poll([{ socket: right, events: POLLIN }], { timeout: 0 }), []);
  assert.deepEqual(await poll([], { timeout: 1 }), []);
  assert.equal((await poll([{ socket: right, events: POLLOUT }], { timeout: 0 })).length, 1);
});

test("poll() can be aborted", async () => {
  await using pair = closing(socketpair());
  const [, right] = pair;
  const controller = new AbortController();
  const waiting = poll([{ socket: right, events: POLLIN }], { signal: controller.signal });
  controller.abort(new Error("enough"));
  await assert.rejects(waiting, { message: "enough" });
  await assert.rejects(
    poll([{ socket: right, events: POLLOUT }], { signal: AbortSignal.abort("before") }),
    (reason) => reason === "before",
  );
});

test("poll() and a pending call see the same data", async () => {
  await using pair = closing(socketpair());
  const [left, right] = pair;
  const taking = right.recv(10);
  const polling = poll([{ socket: right, events: POLLIN }], { timeout: 30 });
  await left.sendAll("one");
  assert.equal((await taking).toString(), "one");
  // Whether poll() came first or the call is a race; afterwards there is nothing.
  await polling;
  assert.deepEqual(await poll([{ socket: right, events: POLLIN }], { timeout: 0 }), []);
  const again = poll([{ socket: right, events: POLLIN }]);
  await left.sendAll("two");
  assert.equal((await again).length, 1);
  assert.equal((await right.recv(10)).toString(), "two");
});

test("poll() keeps waiting if another call has taken the bytes that woke it", async () => {
  await using pair = closing(socketpair(AF_UNIX, SOCK_DGRAM));
  const [left, right] = pair;
  let tries = 0;
  const polling = poll([{ fd: right.fileno(), events: POLLIN }]);
  const settled = polling.then(() => true);
  // What waits in the kernel when poll() looks is taken by a call that is made right now.
  while (tries++ < 20 && !(await Promise.race([settled, turn()]))) {
    await left.send("x");
    await right.recv(10);
  }
  await left.send("stays");
  assert.equal((await polling).length, 1);
});

test("poll() reports the end, errors and urgent data", async () => {
  await using pair = await tcpPair();
  const [accepted, client] = pair;
  const urgent = poll([{ socket: accepted, events: POLLPRI }]);
  await client.send("!", { flags: MSG_OOB });
  assert.equal((await urgent)[0]!.revents, POLLPRI);
  const half = poll([{ socket: accepted, events: POLLRDHUP }]);
  client.shutdown(SHUT_WR);
  assert.equal((await half)[0]!.revents, POLLRDHUP);
  client.close();

  const [left, right] = socketpair();
  const end = poll([{ socket: right, events: 0 }]);
  left.close();
  assert.equal((await end)[0]!.revents, POLLHUP);
  right.close();

  await using socket = new Socket(AF_INET, SOCK_DGRAM);
  const nobody = new Socket(AF_INET, SOCK_DGRAM);
  await nobody.bind("127.0.0.1:0");
  await socket.connect(nobody.getsockname());
  nobody.close();
  const refused = poll([{ socket, events: 0 }]);
  await socket.send("x");
  assert.equal((await refused)[0]!.revents, POLLERR);
});

test("poll() says POLLNVAL of a socket that is closed, before and while it waits", async () => {
  const [left, right] = socketpair();
  const [other, peer] = socketpair();
  const entries = [
    { socket: left, events: POLLIN },
    { socket: right, events: POLLIN },
    { socket: other, events: POLLIN },
  ];
  const waiting = poll(entries);
  const detached = poll([{ socket: peer, events: POLLIN }]);
  await turn();
  left.close();
  // Its number may have another owner at once, which is none of poll()'s business.
  const file = openSync("/dev/null", "r");
  assert.deepEqual((await waiting).find(({ entry }) => entry === entries[0])?.revents, POLLNVAL);
  assert.deepEqual(await poll(entries.slice(0, 1)), [{ entry: entries[0], revents: POLLNVAL }]);
  const fd = peer.detach();
  assert.equal((await detached)[0]!.revents, POLLNVAL);
  Socket.fromfd(fd).close();
  closeSync(file);
  right.close();
  other.close();
  const [gone] = await poll([{ fd, events: POLLIN }]);
  assert.equal(gone!.revents, POLLNVAL);
});

test("poll() finds regular files always ready, and waits for pipes", async () => {
  const file = openSync("/proc/self/status", "r");
  const [ready] = await poll([{ fd: file, events: POLLIN | POLLOUT }]);
  assert.equal(ready!.revents, POLLIN | POLLOUT);
  // An entry without events never becomes ready. poll() waits for the others.
  await using pair = closing(socketpair());
  const [left, right] = pair;
  const waiting = poll([
    { fd: file, events: 0 },
    { socket: right, events: POLLIN },
  ]);
  await left.sendAll("x");
  assert.deepEqual(
    (await waiting).map(({ entry }) => "fd" in entry),
    [false],
  );
  closeSync(file);

  const folder = mkdtempSync(join(tmpdir(), "berkeley-poll-"));
  const path = join(folder, "fifo");
  execFileSync("mkfifo", [path]);
  const pipe = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  const reading = poll([{ fd: pipe, events: POLLIN }]);
  await turn();
  writeSync(pipe, "to the pipe");
  assert.equal((await reading)[0]!.revents, POLLIN);
  closeSync(pipe);
  rmSync(folder, { recursive: true });
});

test("poll() leaves no descriptor, however it ends", async () => {
  await using pair = closing(socketpair());
  const [left, right] = pair;
  const entries = [{ socket: right, events: POLLIN }];
  await poll(entries, { timeout: 1 });
  const before = openDescriptors().size;
  for (let i = 0; i < 20; i++) await poll(entries, { timeout: 1 });
  const controller = new AbortController();
  const many = Array.from({ length: 20 }, () => poll(entries, { signal: controller.signal }));
  controller.abort();
  await Promise.allSettled(many);
  await left.sendAll("x");
  for (let i = 0; i < 20; i++) await poll(entries);
  assert.equal(openDescriptors().size, before);
});

test("poll() that is always ready leaves turns to others", async () => {
  await using pair = closing(socketpair());
  const [, right] = pair;
  let turns = 0;
  const timer = setInterval(() => turns++, 1);
  for (let i = 0; i < 5000; i++) await poll([{ socket: right, events: POLLOUT }]);
  clearInterval(timer);
  assert.ok(turns > 0);
});

test("poll() keeps the process alive while it waits, and not longer", () => {
  const program = `
    import { poll, POLLIN, socketpair } from "berkeley";
    const [left, right] = socketpair();
    const ready = poll([{ socket: right, events: POLLIN }], { timeout: 50 });
    console.log((await ready).length);
    poll([{ socket: right, events: POLLIN }], { timeout: 30 }).then((none) => console.log("after", none.length));
  `;
  const { stdout, status } = spawnSync(process.execPath, ["--input-type=module", "-e", program], {
    encoding: "utf8",
    timeout: 20_000,
  });
  assert.equal(stdout, "0\nafter 0\n");
  assert.equal(status, 0);
});

test("poll() refuses wrong arguments with a rejection", async () => {
  await using socket = new Socket(AF_INET, SOCK_STREAM);
  const wrong: readonly [unknown, unknown, string, RegExp][] = [
    [5, undefined, "TypeError", /entries are 5/],
    [[5], undefined, "TypeError", /entries\[0\] is 5, required \{ socket, events \} or \{ fd, events \}/],
    [[{ events: 1 }], undefined, "TypeError", /entries\[0\]/],
    [[{ socket, fd: 1, events: 1 }], undefined, "TypeError", /entries\[0\]/],
    [[{ socket: 5, events: 1 }], undefined, "TypeError", /entries\[0\]\.socket is 5, required a Socket/],
    [[{ socket }], undefined, "TypeError", /entries\[0\]\.events is undefined/],
    [[{ socket, events: -1 }], undefined, "RangeError", /events is -1/],
    [[{ fd: -1, events: 1 }], undefined, "RangeError", /fd is -1/],
    [[{ fd: 2 ** 31, events: 1 }], undefined, "RangeError", /fd is 2147483648/],
    [[], 5, "TypeError", /options are 5/],
    [[], { timeout: -1 }, "RangeError", /timeout is -1/],
  ];
  for (const [entries, opts, name, message] of wrong) {
    await assert.rejects(poll(entries as PollEntry[], opts as WaitOptions), { name, message });
  }
});
