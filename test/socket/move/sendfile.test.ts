// sendfile() on the real kernel.

import assert from "node:assert/strict";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { AF_INET, SO_SNDBUF, SOCK_DGRAM, Socket, type SocketError, socketpair } from "berkeley";
import { connected, pattern, receiveAll } from "../../support/families.js";
import { checkLeaks } from "../../support/leaks.js";

checkLeaks();

const folder = mkdtempSync(join(tmpdir(), "berkeley-sendfile-"));
after(() => rmSync(folder, { recursive: true }));
let files = 0;

function file(content: Uint8Array | string): string {
  const path = join(folder, String(++files));
  writeFileSync(path, content);
  return path;
}

const size = 5_000_003;
const content = pattern(size);
const path = file(content);

test("a file arrives byte for byte over TCP, while the receiver is slow", async () => {
  await using pair = await connected();
  await using source = await open(path);
  const received = receiveAll(pair.conn, 100_000);
  assert.equal(await pair.client.sendfile(source), size);
  pair.client.close();
  assert.ok((await received).equals(content));
});

test("a descriptor by number serves as well, over UNIX sockets too", async () => {
  const [one, two] = socketpair();
  const fd = openSync(path, "r");
  const received = receiveAll(two);
  assert.equal(await one.sendfile(fd), size);
  one.close();
  assert.ok((await received).equals(content));
  closeSync(fd);
  two.close();
});

test("offset and count choose the part, and the file's own offset stays", async () => {
  const [one, two] = socketpair();
  await using source = await open(path);
  assert.equal(await one.sendfile(source, { offset: 1000, count: 50 }), 50);
  assert.equal(await one.sendfile(source, { offset: size - 7 }), 7);
  assert.equal(await one.sendfile(source, { offset: size - 7, count: 100 }), 7, "the file ends before");
  assert.equal(await one.sendfile(source, { offset: size }), 0);
  assert.equal(await one.sendfile(source, { offset: size + 10 }), 0);
  assert.equal(await one.sendfile(source, { count: 0 }), 0);
  one.close();
  const expected = Buffer.concat([content.subarray(1000, 1050), content.subarray(-7), content.subarray(-7)]);
  assert.ok((await receiveAll(two)).equals(expected));
  assert.ok((await source.read(Buffer.alloc(10), 0, 10, null)).buffer.equals(content.subarray(0, 10)));
  two.close();
});

test("the error of a timeout has the number of sent bytes, and sending can continue there", async () => {
  await using pair = await connected();
  pair.client.setsockopt(SO_SNDBUF, 200_000);
  await using source = await open(path);
  const error = await pair.client.sendfile(source, { timeout: 20 }).then(
    () => assert.fail("the buffers had room for all of it"),
    (reason: unknown) => reason as SocketError,
  );
  assert.equal(error.code, "ETIMEDOUT");
  assert.equal(error.syscall, "sendfile");
  const transferred = error.transferred!;
  assert.ok(transferred > 0 && transferred < size);
  const received = receiveAll(pair.conn);
  assert.equal(await pair.client.sendfile(source, { offset: transferred }), size - transferred);
  pair.client.close();
  assert.ok((await received).equals(content));
});

test("the reason of an abort has the number of sent bytes", async () => {
  await using pair = await connected();
  await using source = await open(path);
  const controller = new AbortController();
  const sent = pair.client.sendfile(source, { signal: controller.signal });
  setImmediate(() => controller.abort());
  const reason = await sent.then(
    () => assert.fail("it was sent"),
    (error: unknown) => error as { transferred?: number },
  );
  assert.equal(reason, controller.signal.reason);
  const received = receiveAll(pair.conn);
  assert.equal(
    await pair.client.sendfile(source, { offset: reason.transferred ?? 0 }),
    size - (reason.transferred ?? 0),
  );
  pair.client.close();
  assert.ok((await received).equals(content));
  await assert.rejects(pair.conn.sendfile(source, { signal: AbortSignal.abort(new Error("before")) }), {
    message: "before",
  });
});

test("onProgress gets the number of sent bytes, up to the end", async () => {
  await using pair = await connected();
  await using source = await open(path);
  const received = receiveAll(pair.conn);
  const steps: number[] = [];
  assert.equal(await pair.client.sendfile(source, { onProgress: (sent) => steps.push(sent) }), size);
  pair.client.close();
  assert.ok((await received).equals(content));
  assert.ok(steps.length >= 5, String(steps));
  assert.ok(
    steps.every((step, i) => i === 0 || step > steps[i - 1]!),
    String(steps),
  );
  assert.equal(steps.at(-1), size);
});

test("an error of onProgress ends the call, and the deadline is for the whole call", async () => {
  await using pair = await connected();
  await using source = await open(path);
  const stop = new Error("stop");
  const sent = pair.client.sendfile(source, {
    onProgress: () => {
      throw stop;
    },
  });
  const received = receiveAll(pair.conn);
  await assert.rejects(sent, (error) => error === stop);
  pair.client.close();
  const bytes = await received;
  assert.ok(bytes.length < size && bytes.equals(content.subarray(0, bytes.length)));
  await using other = await connected();
  await assert.rejects(other.client.sendfile(source, { timeout: 20, onProgress: () => undefined }), {
    code: "ETIMEDOUT",
  });
});

test("other calls have their turn while a large file is sent", async () => {
  await using pair = await connected();
  await using source = await open(path);
  const [one, two] = socketpair();
  let done = false;
  const received = receiveAll(pair.conn, 1 << 20);
  const sent = (async () => {
    for (let i = 0; i < 10; i++) await pair.client.sendfile(source);
    pair.client.close();
    done = true;
  })();
  let exchanges = 0;
  for (; !done; exchanges++) {
    await one.send("x");
    await two.recv(1);
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  await sent;
  assert.equal((await received).length, 10 * size);
  assert.ok(exchanges >= 5, String(exchanges));
  one.close();
  two.close();
});

test("close() ends it with ECANCELED, and says how far it was", async () => {
  await using pair = await connected();
  await using source = await open(path);
  const sent = pair.client.sendfile(source);
  setImmediate(() => pair.client.close());
  const error = await sent.then(
    () => assert.fail("it was sent"),
    (reason: unknown) => reason as SocketError,
  );
  assert.equal(error.code, "ECANCELED");
  assert.equal((await receiveAll(pair.conn)).length, error.transferred);
  await assert.rejects(pair.client.sendfile(source), { code: "EBADF", syscall: "sendfile" });
});

test("a FileHandle that is closed meanwhile ends it with EBADF", async () => {
  await using pair = await connected();
  const source = await open(path);
  const sent = pair.client.sendfile(source);
  const failed = assert.rejects(sent, { code: "EBADF", syscall: "sendfile" });
  await source.close();
  const received = receiveAll(pair.conn);
  await failed;
  pair.client.close();
  const bytes = await received;
  assert.ok(bytes.equals(content.subarray(0, bytes.length)));
  await assert.rejects(pair.conn.sendfile(source), { code: "EBADF" });
});

test("the error for a peer that has closed has the number of sent bytes", async () => {
  await using pair = await connected();
  await using source = await open(path);
  const sent = pair.client.sendfile(source);
  await pair.conn.recv(1000);
  pair.conn.close();
  const error = await sent.then(
    () => assert.fail("it was sent"),
    (reason: unknown) => reason as SocketError,
  );
  assert.ok(error.code === "ECONNRESET" || error.code === "EPIPE", error.code);
  assert.ok(error.transferred! > 0 && error.transferred! < size);
});

test("a file that shrinks meanwhile ends where it ends", async () => {
  await using pair = await connected();
  pair.client.setsockopt(SO_SNDBUF, 200_000);
  const shrinking = file(content);
  await using source = await open(shrinking);
  const sent = pair.client.sendfile(source);
  truncateSync(shrinking, 3_500_000);
  const received = receiveAll(pair.conn);
  assert.equal(await sent, 3_500_000);
  pair.client.close();
  assert.ok((await received).equals(content.subarray(0, 3_500_000)));
});

test("a file of /proc, which has no length of its own, is sent to its end", async () => {
  const [one, two] = socketpair();
  await using source = await open("/proc/cpuinfo");
  assert.equal(statSync("/proc/cpuinfo").size, 0);
  const sent = await one.sendfile(source);
  one.close();
  const text = (await receiveAll(two)).toString();
  assert.equal(text.length, sent);
  assert.equal(text, readFileSync("/proc/cpuinfo", "utf8"));
  two.close();
});

test("a file that is not regular is EINVAL, because its readiness can't be waited for", async () => {
  const [one, two] = socketpair();
  await assert.rejects(one.sendfile(two.fileno()), { code: "EINVAL", syscall: "sendfile" });
  await assert.rejects(one.sendfile(0x7fff_ffff), { code: "EBADF", syscall: "sendfile" });
  one.close();
  two.close();
});

test("the kernel says what kind of socket it does not send to", async () => {
  await using source = await open(path);
  await using unconnected = new Socket();
  await assert.rejects(unconnected.sendfile(source), { code: "EPIPE", syscall: "sendfile", transferred: 0 });
  await using udp = new Socket(AF_INET, SOCK_DGRAM);
  await assert.rejects(udp.sendfile(source, { count: 10 }), { code: "EDESTADDRREQ", syscall: "sendfile" });
});

test("wrong arguments are rejections that quote them", async () => {
  const [one, two] = socketpair();
  await assert.rejects(one.sendfile("name" as never), {
    name: "TypeError",
    message: /^Cannot sendfile: file is "name"/,
  });
  await assert.rejects(one.sendfile({} as never), TypeError);
  await assert.rejects(one.sendfile({ fd: "3" } as never), TypeError);
  await assert.rejects(one.sendfile(-1), RangeError);
  await assert.rejects(one.sendfile(0, { offset: -1 }), RangeError);
  await assert.rejects(one.sendfile(0, { offset: 0.5 }), RangeError);
  await assert.rejects(one.sendfile(0, { count: NaN }), RangeError);
  await assert.rejects(one.sendfile(0, { onProgress: 1 as never }), TypeError);
  await assert.rejects(one.sendfile(0, { timeout: -1 }), RangeError);
  await assert.rejects(one.sendfile(0, 5 as never), TypeError);
  one.close();
  two.close();
});
