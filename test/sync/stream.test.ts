// The buffered stream of the blocking socket: results, limits, errors, and the bytes that it reads ahead.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import {
  AF_INET,
  AF_UNIX,
  create_server,
  BufferedError,
  IncompleteReadError,
  LimitError,
  MSG_DONTWAIT,
  pump,
  SHUT_WR,
  send_fds,
  SOCK_DGRAM,
  SOCK_STREAM,
  Socket,
  type SocketError,
  socketpair,
  splice,
  type SpliceProgress,
  Stream,
} from "berkeley/sync";
import * as awaitable from "berkeley";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

const code = (expected: string) => (error: unknown) => {
  assert.equal((error as { code?: unknown }).code, expected, String(error));
  return true;
};

/** A stream, and its peer. */
function connected(opts?: Parameters<Socket["stream"]>[0]): { stream: Stream; peer: Socket } & Disposable {
  const [peer, other] = socketpair();
  const stream = other.stream(opts);
  return { stream, peer, [Symbol.dispose]: () => (peer.close(), stream.close()) };
}

test("readLine() returns lines without LF and CR LF, the last one without its end, then null again and again", () => {
  using pair = connected();
  const { peer, stream } = pair;
  peer.sendAll("one\r\ntwo\n\nla\rst");
  peer.shutdown(SHUT_WR);
  const lines = Array.from({ length: 6 }, () => stream.readLine());
  assert.deepEqual(lines, ["one", "two", "", "la\rst", null, null]);
});

test("a character whose bytes arrive in several pieces comes out whole", () => {
  using pair = connected({ readSize: 1 });
  const { peer, stream } = pair;
  peer.sendAll("zażółć 😀 gęślą\r\n日本\n");
  assert.equal(stream.readLine(), "zażółć 😀 gęślą");
  assert.equal(stream.readLine(), "日本");
});

test("the pieces of a character are put together across calls that end early", () => {
  using pair = connected();
  const { peer, stream } = pair;
  const bytes = Buffer.from("x😀\n");
  for (const byte of bytes.subarray(0, -1)) {
    peer.sendAll(Uint8Array.of(byte));
    assert.throws(() => stream.readLine({ timeout: 0 }), code("ETIMEDOUT"));
  }
  assert.equal(stream.buffered, 5);
  peer.sendAll("\n");
  assert.equal(stream.readLine(), "x😀");
});

test("lines of python3, written byte by byte over TCP, come out whole", { timeout: 60_000 }, async () => {
  using server = create_server(["127.0.0.1", 0]);
  const { port } = server.getsockname() as awaitable.InetAddress;
  const program = `
import socket
s = socket.create_connection(("127.0.0.1", ${port}))
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
for byte in "grüße, 世界\\nzweite\\r\\nrest".encode():
    s.sendall(bytes([byte]))
s.shutdown(socket.SHUT_WR)
f = s.makefile("r", encoding="utf-8", newline="\\n")
print(f.readline().strip(), f.read(), sep="|")
`;
  const python = spawn("python3", ["-c", program], { stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(python, "exit");
  let printed = "";
  python.stdout.setEncoding("utf8").on("data", (text: string) => (printed += text));
  using conn = server.accept({ timeout: 30_000 })[0];
  conn.timeout = 30_000;
  const stream = conn.stream();
  assert.deepEqual([...stream.lines()], ["grüße, 世界", "zweite", "rest"]);
  stream.write("ça va\nend");
  assert.equal(stream.end().how, "finished");
  assert.deepEqual(await exited, [0, null]);
  assert.equal(printed, "ça va|end\n");
});

async function chunksOf(stream: awaitable.Stream): Promise<Buffer[]> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

test("read(), readExactly(), readUntil(), peek() and chunks return what those of the awaitable stream return", async () => {
  const sent = "abcdef12|34||tail";
  using pair = connected();
  const { peer, stream } = pair;
  peer.sendAll(sent);
  peer.shutdown(SHUT_WR);
  const [a, b] = awaitable.socketpair();
  await using twin = b.stream();
  await a.sendAll(sent);
  a.shutdown(SHUT_WR);
  const both: [unknown, unknown][] = [
    [stream.read(2), await twin.read(2)],
    [stream.peek(3), await twin.peek(3)],
    [stream.readExactly(4), await twin.readExactly(4)],
    [stream.readExactly(0), await twin.readExactly(0)],
    [stream.readUntil("|"), await twin.readUntil("|")],
    [stream.readUntil(Buffer.from("||")), await twin.readUntil(Buffer.from("||"))],
    [stream.peek(100), await twin.peek(100)],
    [[...stream], await chunksOf(twin)],
    [stream.read(), await twin.read()],
    [stream.peek(1), await twin.peek(1)],
    [stream.readUntil("x"), await twin.readUntil("x")],
    [stream.read(new Uint8Array(1)), await twin.read(new Uint8Array(1))],
  ];
  for (const [ours, theirs] of both) assert.deepEqual(ours, theirs);
  a.close();
});

test("read(buffer) takes the buffered bytes first, and then lets the kernel fill the buffer", () => {
  using pair = connected();
  const { peer, stream } = pair;
  peer.sendAll("line\nrest");
  assert.equal(stream.readLine(), "line");
  const target = Buffer.alloc(16);
  assert.equal(stream.read(target), 4);
  assert.equal(target.toString("utf8", 0, 4), "rest");
  peer.sendAll("more");
  assert.equal(stream.read(target.subarray(0, 2)), 2);
  assert.equal(stream.buffered, 0);
  assert.equal(stream.read(target), 2);
  peer.shutdown(SHUT_WR);
  assert.equal(stream.read(target), 0);
  assert.throws(() => stream.read(new Uint8Array(0)), RangeError);
});

test("a line that is too long ends the reading with the same error again, and writing goes on", () => {
  using pair = connected({ maxLine: 4 });
  const { peer, stream } = pair;
  peer.sendAll("1234\r\n12345\nok\n");
  assert.equal(stream.readLine(), "1234");
  let first: unknown;
  assert.throws(
    () => stream.readLine(),
    (error) => {
      first = error;
      assert.ok(error instanceof LimitError);
      return error.limit === "maxLine" && error.max === 4 && error.code === "ERR_LIMIT";
    },
  );
  assert.throws(
    () => stream.read(),
    (error) => error === first,
  );
  stream.write("too long\n");
  assert.equal(peer.recv(100).toString(), "too long\n");
});

test("`max` of a call replaces maxLine", () => {
  using pair = connected({ maxLine: 1 });
  const { peer, stream } = pair;
  peer.sendAll("123\n12;");
  assert.equal(stream.readLine({ max: 3 }), "123");
  assert.equal(String(stream.readUntil(";", { max: 3 })), "12;");
  peer.sendAll("1234");
  assert.throws(() => stream.readUntil(";", { max: 3 }), code("ERR_LIMIT"));
});

test("an end that comes too early throws with the bytes that came, and then the stream is at its end", () => {
  using pair = connected();
  const { peer, stream } = pair;
  peer.sendAll("abc");
  peer.shutdown(SHUT_WR);
  assert.throws(
    () => stream.readExactly(4),
    (error) => {
      assert.ok(error instanceof IncompleteReadError);
      assert.equal(error.code, "ERR_INCOMPLETE_READ");
      assert.equal(String(error.received), "abc");
      return error.expected === 4;
    },
  );
  assert.equal(stream.read(), null);
});

test("the timeout of a call and that of the socket end a read, and no byte is lost", () => {
  using pair = connected();
  const { peer, stream } = pair;
  peer.sendAll("half");
  assert.throws(() => stream.readLine({ timeout: 0 }), code("ETIMEDOUT"));
  stream.socket.timeout = 1;
  assert.throws(() => stream.readExactly(5), code("ETIMEDOUT"));
  assert.throws(() => [...stream.lines()], code("ETIMEDOUT"));
  assert.equal(stream.buffered, 4);
  peer.sendAll(" whole\n");
  assert.equal(stream.readLine(), "half whole");
});

test("while bytes are buffered, receiving calls of the socket, detach() and passing it are refused", () => {
  using pair = connected();
  const { peer, stream } = pair;
  const { socket } = stream;
  peer.sendAll("line\nrest");
  stream.readLine();
  assert.equal(socket.buffered, 4);
  const refused = (error: unknown): boolean => {
    assert.ok(error instanceof BufferedError, String(error));
    return error.code === "ERR_BUFFERED" && error.buffered === 4;
  };
  const buffer = new Uint8Array(8);
  for (const call of [
    () => socket.recv(1),
    () => socket.recvInto(buffer),
    () => socket.recvfrom(1),
    () => socket.recvfromInto(buffer),
    () => socket.tryRecv(1),
    () => socket.tryRecvInto(buffer),
    () => socket.recvmsg(1),
    () => socket.recvmsgInto(buffer),
    () => socket.recv(1, { flags: MSG_DONTWAIT }),
    () => socket.detach(),
    () => send_fds(peer, ["x"], [socket]),
  ]) {
    assert.throws(call, refused);
  }
  assert.equal(String(stream.read()), "rest");
  assert.throws(() => socket.recv(1, { flags: MSG_DONTWAIT }), code("EAGAIN"));
  const fd = socket.detach();
  assert.throws(() => stream.read(), code("EBADF"));
  Socket.fromfd(fd).close();
});

test("splice() and pump() send the buffered bytes first", () => {
  using pair = connected();
  const { peer, stream } = pair;
  const [near, far] = socketpair();
  peer.sendAll("line\nrest");
  stream.readLine();
  peer.sendAll(" and more");
  peer.shutdown(SHUT_WR);
  assert.equal(splice(stream.socket, near, { count: 2, end: false }), 2);
  assert.equal(stream.buffered, 2);
  far.shutdown(SHUT_WR);
  assert.deepEqual(pump(stream.socket, near), { aToB: 11, bToA: 0 });
  assert.equal(String(far.recv(100)), "rest and more");
  assert.equal(stream.readLine({ timeout: 1_000 }), null);
  near.close();
  far.close();
});

test("the error of splice() has the buffered bytes that the destination did not take", () => {
  using pair = connected();
  const { peer, stream } = pair;
  const [near, far] = socketpair();
  peer.sendAll("line\nrest");
  stream.readLine();
  far.close();
  assert.throws(
    () => splice(stream.socket, near),
    (error) => {
      const { code: name, transferred, undelivered } = error as SocketError & SpliceProgress;
      assert.deepEqual([name, transferred, String(undelivered)], ["EPIPE", 0, "rest"]);
      return true;
    },
  );
  near.close();
});

test("a loop over lines that ends early leaves the rest, and one whose body closes the stream ends", () => {
  using pair = connected();
  const { peer, stream } = pair;
  peer.sendAll("1\n2\n3\n4\n");
  for (const line of stream.lines()) if (line === "1") break;
  assert.equal(stream.readLine(), "2");
  const seen: string[] = [];
  for (const line of stream.lines()) {
    seen.push(line);
    stream.close();
  }
  assert.deepEqual(seen, ["3"]);
  assert.equal(stream.buffered, 0);
  assert.throws(() => stream.readLine(), code("EBADF"));
  assert.deepEqual([...stream.lines()], []);
});

test("a reset is thrown out of a loop", () => {
  using server = create_server(["127.0.0.1", 0]);
  using client = new Socket(AF_INET, SOCK_STREAM);
  client.connect(server.getsockname());
  using conn = server.accept()[0];
  client.sendAll("one\n");
  conn.sendAll("never read");
  const lines = conn.stream().lines();
  assert.equal(lines.next().value, "one");
  client.readable();
  client.close();
  assert.throws(() => lines.next(), code("ECONNRESET"));
});

test("end() counts the buffered bytes among those that it drops", () => {
  using pair = connected();
  const { peer, stream } = pair;
  peer.sendAll("line\nrest");
  stream.readLine();
  peer.sendAll("!");
  peer.shutdown(SHUT_WR);
  assert.deepEqual(stream.end(), { how: "finished", dropped: 5 });
  assert.equal(stream.socket.closed, true);
  assert.deepEqual(stream.end(), { how: "closed", dropped: 0 });
});

test("large lines and many small ones come out as they were sent", () => {
  using pair = connected({ maxLine: 1 << 20 });
  const { peer, stream } = pair;
  const random = (index: number): string => String.fromCodePoint(0x4e00 + (index % 500)).repeat(index % 97);
  const lines = Array.from({ length: 400 }, (_, index) => random(index));
  const got: string[] = [];
  for (let at = 0; at < lines.length; at += 20) {
    peer.sendAll(lines.slice(at, at + 20).join("\n") + "\n");
    for (let count = 0; count < 20; count++) got.push(stream.readLine() as string);
  }
  assert.deepEqual(got, lines);
});

test("stream() returns the same stream, and options that come late are refused", () => {
  const [peer, socket] = socketpair();
  const stream = socket.stream({ maxLine: 10 });
  assert.equal(socket.stream(), stream);
  assert.equal(stream.socket, socket);
  assert.throws(() => socket.stream({ maxLine: 5 }), /options in the call that makes it/);
  assert.throws(() => new Stream(socket), /the socket has a stream, required socket\.stream\(\) to get it/);
  peer.close();
  socket.close();
});

test("stream() returns the stream that was made with `new Stream()`", () => {
  const [peer, socket] = socketpair();
  const stream = new Stream(socket);
  assert.equal(socket.stream(), stream);
  assert.throws(() => socket.stream({ maxLine: 5 }), /options in the call that makes it/);
  peer.close();
  socket.close();
});

test("wrong arguments are refused before any call", () => {
  using pair = connected();
  const { stream } = pair;
  const cases: readonly (readonly [() => unknown, RegExp])[] = [
    [() => stream.readLine({ max: -1 }), /^RangeError: Cannot readLine: max is -1, required a whole number from 0/],
    [
      () => stream.readLine({ encoding: "utf9" as "utf8" }),
      /^TypeError: Cannot readLine: encoding is "utf9", required/,
    ],
    [() => stream.readLine({ maxx: 1 } as object), /^TypeError: Cannot readLine: option "maxx" is unknown/],
    [() => stream.readLine(5 as never), /^TypeError: Cannot readLine: options are 5, required an object/],
    [() => stream.readLine(null as never), /^TypeError: Cannot readLine: options are null, required an object/],
    [() => stream.lines({ max: "5" as never }), /^TypeError: Cannot read lines: max is "5"/],
    [() => stream.read(0), /^RangeError: Cannot read: max is 0, required a whole number from 1/],
    [() => stream.read("5" as never), /^TypeError: Cannot read: max is "5"/],
    [() => stream.readExactly(1.5), /^RangeError: Cannot readExactly: size is 1.5/],
    [() => stream.readExactly(0, { timeout: -1 }), /^RangeError: Cannot readExactly: timeout is -1/],
    [() => stream.readUntil(""), /^RangeError: Cannot readUntil: delimiter has 0 bytes/],
    [() => stream.readUntil(10 as never), /^TypeError: Cannot readUntil: delimiter is 10, required a string/],
    [() => stream.peek(0), /^RangeError: Cannot peek: size is 0/],
    [() => stream.write(5 as never), /^TypeError: Cannot send: data is 5/],
    [() => stream.readLine({ signal: new AbortController().signal } as object), /^TypeError: .*signal is given/],
    [() => new Stream({} as Socket), /^TypeError: Cannot make a stream: socket is \{\}, required a Socket/],
  ];
  for (const [call, message] of cases) {
    assert.throws(call, (error) => (assert.match(String(error), message), true));
  }
  using datagrams = new Socket(AF_UNIX, SOCK_DGRAM);
  assert.throws(() => datagrams.stream(), /the socket is of type 2, required SOCK_STREAM/);
  const [peer, socket] = socketpair();
  for (const opts of [{ readSize: 0 }, { maxLine: 0.5 }, { maxFrame: 5 }, 7]) {
    assert.throws(() => socket.stream(opts as never), /Cannot make a stream/);
  }
  assert.equal(String(socket.stream().socket.type), "1");
  peer.close();
  socket.close();
});
