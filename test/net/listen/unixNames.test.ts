// UNIX sockets: relative paths, listeners in other processes, names that are not UTF-8, addresses as raw bytes.

import assert from "node:assert/strict";
import { existsSync, lstatSync, mkdirSync, readdirSync, renameSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  connect,
  forward,
  listen,
  parseAddress,
  SO_REUSEADDR,
  Socket,
  SOCK_DGRAM,
  SOCK_STREAM,
  type UnixAddress,
} from "berkeley";
import { checkLeaks } from "../../support/leaks.js";
import { Program } from "../../support/program.js";
import { Folder, rejection } from "../support.js";

checkLeaks();

const home = process.cwd();

test("close() removes the socket file even if the current directory has changed", async (t) => {
  t.after(() => process.chdir(home));
  await using folder = new Folder();
  mkdirSync(folder.join("one"));
  mkdirSync(folder.join("two"));
  process.chdir(folder.join("one"));
  const listener = await listen("unix:a.sock", { mode: 0o600 });
  assert.equal(String(listener.address), "unix:a.sock");
  process.chdir(folder.join("two"));
  writeFileSync("a.sock", "somebody else's");
  await listener.close();
  assert.deepEqual(readdirSync(folder.join("one")), []);
  assert.deepEqual(readdirSync(folder.join("two")), ["a.sock"]);
});

test("close() does not remove another socket that has the path by then", async (t) => {
  t.after(() => process.chdir(home));
  await using folder = new Folder();
  process.chdir(folder.path);
  const first = await listen("unix:./a.sock");
  renameSync("a.sock", "b.sock");
  await using second = await listen("unix:./a.sock");
  process.chdir("/");
  await first.close();
  assert.ok(lstatSync(folder.join("a.sock")).isSocket());
  assert.ok(lstatSync(folder.join("b.sock")).isSocket(), "a file that was renamed is not looked for");
  assert.ok(second.address);
});

test("close({ unlink: false }) and listen({ unlink: false }) do not remove the file", async () => {
  await using folder = new Folder();
  const path = folder.join("a.sock");
  const first = await listen({ path });
  // As a process that takes over the listener: the same socket with another descriptor.
  const heir = first.socket.dup();
  await first.close({ unlink: false });
  await using client = await connect({ path });
  const [conn] = await heir.accept();
  conn.close();
  assert.equal(await client.read(), null);
  heir.close();
  assert.ok(existsSync(path));

  const second = await listen({ path }, { unlink: false });
  await second.close();
  assert.ok(existsSync(path));
  const third = await listen({ path }, { unlink: false });
  await third.close({ unlink: true });
  assert.equal(existsSync(path), false);
  await using forwarder = await forward({ path }, "tcp://127.0.0.1:9", { listen: { unlink: false } });
  await forwarder.close();
  assert.ok(existsSync(path));
});

test("close() and listen() refuse an unlink that is wrong", async () => {
  await using listener = await listen("unix:@berkeley-unlink");
  assert.equal((await rejection(listener.close({ unlink: 1 } as never))).name, "TypeError");
  assert.equal((await rejection(listener.close(5 as never))).name, "TypeError");
  assert.equal(listener.socket.closed, false);
  assert.equal((await rejection(listen("tcp://127.0.0.1:0", { unlink: false }))).name, "TypeError");
});

/** Names that are bytes: no text, text and not, what looks like an escape, text with U+FFFD. */
const names: readonly Uint8Array[] = [
  Uint8Array.of(0xff),
  Uint8Array.of(0x61, 0xc3, 0x28, 0xe2, 0x82, 0x5c, 0xff, 0x80),
  Uint8Array.of(0xc3, 0xa9, 0xed, 0xb2, 0x80, 0xf0, 0x9f, 0x92, 0x80, 0xf5, 0xc0, 0x80),
  Buffer.from("\ufffd\ufeff"),
  Uint8Array.of(0xef, 0xbf, 0xbd, 0xef, 0xbf),
];

function prefixed(prefix: string, name: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(prefix), name]);
}

test("names that are no UTF-8 are bound, seen, connected to and answered", async () => {
  await using folder = new Folder();
  for (const [index, name] of names.entries()) {
    for (const path of [prefixed(`${folder.path}/`, name), prefixed(`\0berkeley-${process.pid}-`, name)]) {
      await using server = new Socket(AF_UNIX, SOCK_DGRAM);
      await server.bind({ path });
      const bound = server.getsockname();
      assert.deepEqual(Buffer.from(bound.bytes), Buffer.from(path), `name ${index}`);
      await using client = new Socket(AF_UNIX, SOCK_DGRAM);
      await client.bind({ path: Buffer.concat([path, Buffer.of(0xfe)]) });
      // As the object, as its text, and as copies of it.
      const forms = [
        bound,
        String(bound),
        Object.assign({}, bound),
        JSON.parse(JSON.stringify(bound)),
        { path: bound.path },
      ];
      for (const form of forms) {
        await client.sendto("question", form as UnixAddress);
        const [data, from] = await server.recvfrom(100);
        assert.equal(String(data), "question");
        await server.sendto("answer", from);
        assert.equal(String(await client.recv(100)), "answer");
      }
      assert.deepEqual(parseAddress(String(bound)), bound);
    }
    const path = prefixed(`${folder.path}/stream-`, name);
    await using listener = await listen({ path }, { mode: 0o600 });
    await using stream = await connect({ path });
    await using peer = await listener.accept();
    await peer.write("hello\n");
    assert.equal(await stream.readLine(), "hello");
    await using again = await connect(listener.address);
    await using other = await listener.accept();
    assert.ok(again && other);
    await listener.close();
    assert.equal(existsSync(Buffer.from(path)), false);
  }
});

test("a name of Python's that is no UTF-8 is answered, and the same string there", async () => {
  const name = Buffer.concat([Buffer.from(`\0berkeley-py-${process.pid}-`), Buffer.of(0xff, 0x80, 0x41)]);
  await using server = new Socket(AF_UNIX, SOCK_DGRAM);
  await server.bind({ path: name });
  const script = `
import socket, sys
server = bytes.fromhex(sys.argv[1])
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.settimeout(20)
s.bind(server + b"\\xfe")
s.sendto(b"question", server)
print(s.recv(100).decode(), flush=True)`;
  await using program = new Program("python3", ["-c", script, name.toString("hex")]);
  const [data, from] = await server.recvfrom(100, { timeout: 20_000 });
  assert.equal(String(data), "question");
  assert.equal(from.path.slice(-4), "\udcff\udc80A\udcfe");
  await server.sendto("answer", from);
  const { stdout, stderr } = await program.ended;
  assert.equal(stdout, "answer\n", stderr);
});

test("an error shows the bytes of a name that is no UTF-8", async () => {
  await using socket = new Socket(AF_UNIX, SOCK_STREAM);
  const error = await rejection(socket.connect({ path: Uint8Array.of(0x2f, 0x6e, 0xff) }));
  assert.equal(error.message, "connect ENOENT /n\\xff: no such file or directory");
});

test("bind() refuses bytes that can be no name, and strings that stand for none", async () => {
  await using folder = new Folder();
  const wrong: readonly [unknown, string][] = [
    [{ path: Uint8Array.of(0x2f, 0, 0x61) }, "TypeError"],
    [{ path: new Uint8Array(108).fill(0x61) }, "RangeError"],
    [{ path: new Uint16Array(2) }, "TypeError"],
    [{ path: "/\ud800" }, "TypeError"],
    [{ path: "/\udc00" }, "TypeError"],
    [{ path: "/\udc7f" }, "TypeError"],
    [{ path: `/${"\udcff".repeat(107)}` }, "RangeError"],
  ];
  await using socket = new Socket(AF_UNIX, SOCK_DGRAM);
  for (const [value, name] of wrong) {
    assert.equal((await rejection(socket.bind(value as UnixAddress))).name, name);
  }
  const path = folder.join("é");
  await socket.bind({ path: Buffer.from(path) });
  assert.equal(socket.getsockname().path, path);
  await using longest = new Socket(AF_UNIX, SOCK_DGRAM);
  const name = `\0${process.pid}${"\udcff".repeat(107 - String(process.pid).length)}`;
  await longest.bind({ path: name });
  assert.equal(longest.getsockname().bytes.length, 108);
  await using none = new Socket(AF_UNIX, SOCK_DGRAM);
  await none.bind({ path: new Uint8Array(0) });
  assert.match(String(none.getsockname()), /^unix:@[0-9a-f]{5}$/);
});

test("an address object of a known family with raw bytes is those bytes", async () => {
  await using server = new Socket(AF_INET, SOCK_STREAM);
  server.setsockopt(SO_REUSEADDR, true);
  // What is beyond the address in sockaddr_in is padding, which the kernel does not look at.
  await server.bind({ family: AF_INET, data: Uint8Array.of(0, 0, 127, 0, 0, 3, 1, 2, 3, 4, 5, 6, 7, 8) });
  server.listen();
  const { host, port } = server.getsockname();
  assert.equal(host, "127.0.0.3");
  await using client = new Socket(AF_INET, SOCK_STREAM);
  const data = Uint8Array.of(port >> 8, port & 255, 127, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0);
  await client.connect({ family: AF_INET, data });
  assert.equal(String(client.getpeername()), `127.0.0.3:${port}`);

  await using local = new Socket(AF_UNIX, SOCK_DGRAM);
  const name = `berkeley-raw-${process.pid}`;
  await local.bind({ family: AF_UNIX, data: Buffer.from(`\0${name}`) });
  assert.equal(String(local.getsockname()), `unix:@${name}`);
  await using short = new Socket(AF_INET, SOCK_DGRAM);
  for (const family of [AF_INET, AF_INET6]) {
    assert.match((await rejection(short.connect({ family, data: Uint8Array.of(1, 2) }))).code!, /EINVAL|EAFNOSUPPORT/);
  }
  assert.equal((await rejection(connect({ family: AF_UNIX, data: Buffer.from("/x") } as never))).name, "TypeError");
});
