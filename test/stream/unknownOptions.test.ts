// An option with an unknown name is refused, with the nearest known name, before anything happens.
import assert from "node:assert/strict";
import { Duplex } from "node:stream";
import { test } from "node:test";
import {
  type Conn,
  DatagramBatch,
  delimited,
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

test("each read takes its own options, and refuses those of the others with the nearest name", async () => {
  const [a, b] = memoryPair();
  const [left, right] = socketpair(AF_UNIX);
  const kernel = left.stream();
  for (const stream of [new Stream(b), kernel]) {
    const any = stream as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>;
    const calls: readonly (readonly [name: string, args: readonly unknown[], opts: object, text: RegExp])[] = [
      ["read", [], { max: 5 }, /option "max" is unknown, required one of timeout, signal$/],
      ["read", [5], { encoding: "utf8" }, /option "encoding" is unknown, required one of timeout, signal$/],
      ["read", [Buffer.alloc(1)], { max: 5 }, /option "max" is unknown/],
      ["readExactly", [5], { max: 5 }, /option "max" is unknown, required one of timeout, signal$/],
      ["readExactly", [5], { timout: 5 }, /option "timout" is unknown.*did you mean "timeout"/],
      ["peek", [5], { max: 5 }, /option "max" is unknown/],
      ["readUntil", ["x"], { encoding: "utf8" }, /Cannot readUntil: option "encoding" is unknown, .*signal, max$/],
      ["readUntil", ["x"], { maxx: 5 }, /option "maxx" is unknown.*did you mean "max"/],
      ["readLine", [], { encodeing: "utf8" }, /Cannot readLine: option "encodeing".*did you mean "encoding"/],
      ["readLine", [], { maxLine: 5 }, /option "maxLine" is unknown/],
      ["write", ["x"], { max: 5 }, /option "max" is unknown/],
      ["closeWrite", [], { encoding: "utf8" }, /option "encoding" is unknown/],
      ["whenBroken", [], { max: 5 }, /option "max" is unknown/],
      ["whenEnded", [], { max: 5 }, /option "max" is unknown/],
    ];
    for (const [name, args, opts, message] of calls) {
      // A promise in each case, and nothing is read.
      await assert.rejects(any[name]!.call(stream, ...args, opts), { name: "TypeError", message });
    }
    assert.throws(() => stream.lines({ maxs: 5 } as object), { message: /option "maxs".*did you mean "max"/ });
    assert.throws(() => stream.frames(delimited("x"), { encoding: "utf8" } as object), {
      message: /option "encoding" is unknown, required one of timeout, signal, max$/,
    });
    await assert.rejects(stream.lines().read({ max: 5 } as object), { message: /option "max" is unknown/ });
  }
  await a.write("a line\nand another\n");
  await right.sendAll("a line\nand another\n");
  const { signal } = new AbortController();
  for (const stream of [new Stream(b), kernel]) {
    const opts = { timeout: 1000, signal, max: 20, encoding: "latin1" } as const;
    assert.equal(await stream.readLine(opts), "a line");
    for await (const line of stream.lines(opts)) {
      assert.equal(line, "and another");
      break;
    }
    await assert.rejects(stream.readUntil("x", { timeout: 1, max: 5 }), { code: "ETIMEDOUT" });
    await stream.close();
  }
  await a.close();
  right.close();
});

test("a connection below a stream gets only the options of the wait", async () => {
  const [a, b] = memoryPair();
  const names: string[][] = [];
  const below: Conn = new Proxy(b, {
    get(conn, name) {
      const value: unknown = Reflect.get(conn, name, conn);
      if (typeof value !== "function") return value;
      return (...args: unknown[]) => {
        if (name === "read") names.push(Object.keys(args[1] ?? {}).toSorted());
        return value.apply(conn, args) as unknown;
      };
    },
  });
  const stream = new Stream(below);
  await a.write("one\n");
  assert.equal(await stream.readLine({ timeout: 1000, max: 5, encoding: "utf8" }), "one");
  await a.write("two\n");
  assert.equal(await stream.readLine(), "two");
  assert.deepEqual(names, [["signal", "timeout"], []]);
  await stream.close();
  await a.close();
});
