// Passed descriptors: their owner from their arrival to their end.
import assert from "node:assert/strict";
import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import {
  AF_INET,
  AF_UNIX,
  CMSG_LEN,
  CMSG_SPACE,
  MSG_CTRUNC,
  MSG_PEEK,
  recv_fds,
  send_fds,
  SHUT_WR,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  Socket,
  socketpair,
} from "berkeley";
import * as sync from "berkeley/sync";
import { turn } from "../../support/clock.js";
import { checkLeaks, openDescriptors } from "../../support/leaks.js";
import { closing, only, tcpPair } from "./support.js";

checkLeaks();

const FD_CLOEXEC = 0o2000000;

function count(): number {
  return openDescriptors().size;
}

for (const [name, type] of [
  ["SOCK_STREAM", SOCK_STREAM],
  ["SOCK_DGRAM", SOCK_DGRAM],
  ["SOCK_SEQPACKET", SOCK_SEQPACKET],
] as const) {
  test(`send_fds() and recv_fds() pass a file, a listening and a connected socket over ${name}`, async () => {
    await using pair = closing(socketpair(AF_UNIX, type));
    const [left, right] = pair;
    const file = openSync("/proc/self/status", "r");
    const listening = new Socket(AF_INET, SOCK_STREAM);
    await listening.bind("127.0.0.1:0");
    listening.listen(1);
    const address = listening.getsockname();
    const [accepted, client] = await tcpPair();
    assert.equal(await send_fds(left, "three of them", [file, listening, client.fileno()]), 13);
    closeSync(file);
    listening.close();
    client.close();

    const [data, fds, flags, from] = await recv_fds(right, 100, 3);
    assert.equal(data.toString(), "three of them");
    assert.equal(flags, 0);
    assert.equal(from === undefined || "path" in from, true);
    assert.equal(fds.length, 3);
    for (const fd of fds.fds) {
      const kernelFlags = /flags:\s*(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"));
      assert.ok((Number.parseInt(kernelFlags![1]!, 8) & FD_CLOEXEC) !== 0, `descriptor ${fd} is close-on-exec`);
    }
    const [fileFd, listeningFd, clientFd] = fds.take() as [number, number, number];
    const buffer = Buffer.alloc(5);
    readSync(fileFd, buffer, 0, 5, 0);
    assert.equal(buffer.toString(), "Name:");
    closeSync(fileFd);
    await using server = Socket.fromfd(listeningFd);
    assert.equal(server.type, SOCK_STREAM);
    await using visitor = new Socket(AF_INET, SOCK_STREAM);
    await visitor.connect(address);
    (await server.accept())[0].close();
    await using again = Socket.fromfd(clientFd);
    await again.sendAll("through");
    assert.equal((await accepted.recv(100)).toString(), "through");
    accepted.close();
  });
}

test("descriptors that are not taken are closed with their message", async () => {
  await using pair = closing(socketpair());
  const [left, right] = pair;
  const before = count();
  await left.sendmsg("x", { control: [{ type: "SCM_RIGHTS", fds: [left, right, left] }] });
  {
    using message = await right.recvmsg(10, { controlSize: CMSG_SPACE(4 * 10) });
    const { fds } = only(message.control, "SCM_RIGHTS");
    assert.equal(fds.length, 3);
    assert.equal(count(), before + 3);
    closeSync(fds.take(1)[0]!);
    assert.equal(count(), before + 2);
  }
  assert.equal(count(), before);
});

async function receiveAndForget(socket: Socket): Promise<void> {
  await socket.recvmsg(10, { controlSize: CMSG_SPACE(4) });
  await recv_fds(socket, 10, 2);
}

test("send_fds() and recv_fds() reject for a value that is not a socket, and do not throw", async () => {
  const none = 5 as unknown as Socket;
  await assert.rejects(send_fds(none, "x", []), /^TypeError: Cannot send_fds: socket is 5, required a Socket/);
  await assert.rejects(recv_fds(none, 1, 1), /^TypeError: Cannot recv_fds: socket is 5, required a Socket/);
  await using pair = closing(socketpair());
  await assert.rejects(send_fds(pair[0], "x", 5 as unknown as number[]), TypeError);
  const flags = MSG_PEEK as unknown as object;
  await assert.rejects(send_fds(pair[0], "x", [], flags), /^TypeError: Cannot send_fds: options are 2/);
  await assert.rejects(recv_fds(pair[0], 1, 1, flags), /^TypeError: Cannot recv_fds: options are 2/);
});

test("descriptors of a message that was collected are closed", async () => {
  await using pair = closing(socketpair());
  const [left, right] = pair;
  const before = count();
  for (let i = 0; i < 20; i++) await send_fds(left, "x", [left]);
  for (let i = 0; i < 10; i++) await receiveAndForget(right);
  for (let i = 0; i < 200 && count() > before; i++) {
    globalThis.gc!();
    await turn();
  }
  assert.equal(count(), before);
});

test("without space for control data no descriptor stays open", async () => {
  await using pair = closing(socketpair());
  const [left, right] = pair;
  const before = count();
  await send_fds(left, "a", [left, right]);
  await send_fds(left, "b", [left, right]);
  await send_fds(left, "c", [left, right]);
  const message = await right.recvmsg(1);
  assert.ok(message.controlTruncated);
  assert.deepEqual(message.control, []);
  assert.equal((await right.recv(1)).toString(), "b");
  const [, none, flags] = await recv_fds(right, 1, 0);
  assert.equal(none.length, 0);
  assert.ok((flags & MSG_CTRUNC) !== 0);
  assert.equal(count(), before);
});

test("if more descriptors arrive than fit, those that fit are received, and MSG_CTRUNC is set", async () => {
  await using pair = closing(socketpair());
  const [left, right] = pair;
  const before = count();
  for (const room of [1, 2, 4]) {
    await send_fds(left, "x", [left, right, left, right, left]);
    const [, fds, flags] = await recv_fds(right, 10, room);
    assert.ok((flags & MSG_CTRUNC) !== 0);
    assert.equal(fds.length, room);
    assert.equal(count(), before + room);
    const sockets = fds.take().map((fd) => Socket.fromfd(fd));
    for (const socket of sockets) socket.close();
    assert.equal(count(), before);
  }
  await send_fds(left, "x", [left, right]);
  const [, fds, flags] = await recv_fds(right, 10, 2);
  assert.equal(flags, 0);
  fds.close();
  assert.equal(count(), before);
});

test("descriptors belong to the bytes that they came with", async () => {
  await using pair = closing(socketpair());
  const [left, right] = pair;
  await left.sendAll("before");
  await send_fds(left, "with", [left]);
  await left.sendAll("after");
  const [first, none] = await recv_fds(right, 3, 4);
  assert.equal(first.toString(), "bef");
  assert.equal(none.length, 0);
  const [second, fds] = await recv_fds(right, 100, 4);
  assert.equal(fds.length, 1);
  assert.equal(second.toString(), "orewith");
  fds.close();
  assert.equal((await right.recv(100)).toString(), "after");
});

test("MSG_PEEK gives descriptors of its own each time, which are closed as well", async () => {
  await using pair = closing(socketpair());
  const [left, right] = pair;
  const before = count();
  await send_fds(left, "x", [left]);
  const room = { controlSize: CMSG_LEN(4) };
  {
    using peeked = await right.recvmsg(10, { ...room, flags: MSG_PEEK });
    using again = await right.recvmsg(10, { ...room, flags: MSG_PEEK });
    using message = await right.recvmsg(10, room);
    const all = [peeked, again, message].flatMap(({ control }) => only(control, "SCM_RIGHTS").fds.fds);
    assert.equal(new Set(all).size, 3);
    assert.equal(count(), before + 3);
  }
  assert.equal(count(), before);
});

test("a taken descriptor has no owner until a socket adopts it, and only taken descriptors can be adopted", async () => {
  await using pair = closing(socketpair());
  const [left, right] = pair;
  await send_fds(left, "x", [left]);
  const [, fds] = await recv_fds(right, 10, 1);
  const [fd] = fds.fds;
  assert.throws(() => Socket.fromfd(fd!), { code: "EBUSY" });
  assert.deepEqual(fds.take(), [fd]);
  const socket = Socket.fromfd(fd!);
  assert.throws(() => Socket.fromfd(fd!), { code: "EBUSY" });
  fds.close();
  await socket.sendAll("still open");
  assert.equal((await right.recv(100)).toString(), "still open");
  socket.close();
});

test("a socket that was closed while its message waited is not passed, and neither is the new owner of its number", async () => {
  await using pair = closing(socketpair());
  const [left, right] = pair;
  const [passed, other] = socketpair();
  while ((await left.send(Buffer.alloc(1 << 20), { timeout: 1 }).catch(() => 0)) > 0);
  const waiting = send_fds(left, "x", [passed]);
  const before = passed.fileno();
  passed.close();
  const successor = openSync("/dev/null", "r");
  assert.equal(successor, before);
  const failed = assert.rejects(waiting, { code: "EBADF", syscall: "sendmsg" });
  const drain = async (): Promise<void> => {
    for (;;) await right.recv(1 << 20, { timeout: 50 });
  };
  await assert.rejects(drain(), { code: "ETIMEDOUT" });
  await failed;
  closeSync(successor);
  other.close();
});

test("descriptors that cannot be passed are refused", async () => {
  await using pair = closing(socketpair());
  const [left, right] = pair;
  const closed = new Socket();
  closed.close();
  await assert.rejects(send_fds(left, "x", [closed]), { code: "EBADF" });
  await assert.rejects(send_fds(left, "x", [1_000_000]), { code: "EBADF" });
  await assert.rejects(
    send_fds(
      left,
      "x",
      Array.from({ length: 254 }, () => left),
    ),
    { code: "EINVAL" },
  );
  await assert.rejects(send_fds(left, "", [left]), { name: "RangeError", message: /at least one byte/ });
  // On these sockets the kernel would send the data and drop the descriptor.
  for (const type of [SOCK_STREAM, SOCK_DGRAM]) {
    await using socket = new Socket(AF_INET, type);
    await assert.rejects(send_fds(socket, "x", [left]), { name: "TypeError", message: /required a UNIX socket/ });
  }
  await assert.rejects(send_fds(left, "x", [-1]), { name: "RangeError" });
  await assert.rejects(recv_fds(right, 10, -1), { name: "RangeError", message: /maxfds is -1/ });
  const before = count();
  await send_fds(
    left,
    "x",
    Array.from({ length: 253 }, () => left),
  );
  const [, fds] = await recv_fds(right, 10, 253);
  assert.equal(fds.length, 253);
  fds.close();
  assert.equal(count(), before);
});

test("a socket that sends itself, and is closed before the message is received, leaves no descriptor", async () => {
  const before = count();
  const [left, right] = socketpair();
  await send_fds(left, "x", [left, right]);
  left.close();
  right.close();
  assert.equal(count(), before);
});

test("descriptors that a worker received and forgot are closed when it ends", async () => {
  const before = count();
  const [left, right] = socketpair();
  const worker = new Worker(
    `import("berkeley").then(async ({ Socket, recv_fds }) => {
      const { workerData, parentPort } = await import("node:worker_threads");
      const socket = Socket.fromfd(workerData);
      globalThis.kept = await recv_fds(socket, 10, 8);
      socket.close();
      parentPort.postMessage(globalThis.kept[1].length);
    });`,
    { eval: true, workerData: right.detach() },
  );
  const received = new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
  await send_fds(left, "x", [left, left, left, left, left]);
  assert.equal(await received, 5);
  await worker.terminate();
  left.shutdown(SHUT_WR);
  left.close();
  for (let i = 0; i < 100 && count() > before; i++) await turn();
  assert.equal(count(), before);
});

test("a send_fds() of which one fileno() throws rejects with that, sends nothing and leaves nothing open", async () => {
  const [left, right] = socketpair();
  const [passed, other] = socketpair();
  const before = count();
  const error = new Error("has no number");
  const fault = {
    fileno(): number {
      throw error;
    },
  };
  await assert.rejects(send_fds(left, "x", [passed, fault, other]), error);
  await assert.rejects(left.sendmsg("x", { control: [{ type: "SCM_RIGHTS", fds: [passed, fault] }] }), error);
  using blocking = sync.Socket.fromfd(left.dup().detach());
  assert.throws(() => sync.send_fds(blocking, "x", [passed, fault]), error);
  // In the queue, where the other calls go on.
  while (left.trySend(Buffer.alloc(1 << 16)) !== undefined);
  const failing = send_fds(left, "y", [passed, fault]);
  const behind = left.send("z");
  failing.catch(() => {});
  const sent: Buffer[] = [];
  for (let done = false; !done; done = sent.at(-1)!.includes("z")) sent.push(await right.recv(1 << 20));
  await assert.rejects(failing, error);
  assert.equal(await behind, 1);
  assert.ok(!Buffer.concat(sent).includes("y"));
  blocking.close();
  assert.equal(count(), before);
  for (const socket of [left, right, passed, other]) socket.close();
});
