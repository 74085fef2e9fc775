// Stream sockets on the real kernel, for each family: the seven steps, the results of calls, the end, large transfers,
// lost peers.

import assert from "node:assert/strict";
import { existsSync, readFileSync, statSync } from "node:fs";
import { test } from "node:test";
import {
  AF_UNIX,
  Inet6Address,
  InetAddress,
  MSG_PEEK,
  MSG_WAITALL,
  SHUT_RD,
  SHUT_RDWR,
  SHUT_WR,
  SO_ACCEPTCONN,
  SO_ERROR,
  SO_LINGER,
  SO_RCVBUF,
  SO_SNDBUF,
  SOCK_STREAM,
  Socket,
  UnixAddress,
} from "berkeley";
import {
  connected,
  families,
  type Family,
  listening,
  networkFamilies,
  pattern,
  receiveAll,
} from "../support/families.js";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

for (const family of families) streams(family);

function streams(family: Family): void {
  const over = `over ${family.name}`;

  test(`the seven steps ${over}`, async () => {
    await using server = new Socket(family.family, SOCK_STREAM);
    await server.bind(family.address());
    server.listen(5);
    assert.equal(server.getsockopt(SO_ACCEPTCONN), true);

    await using client = new Socket(family.family, SOCK_STREAM);
    assert.equal(client.getsockopt(SO_ACCEPTCONN), false);
    await client.connect(server.getsockname());
    await client.sendAll("Hello, Server");

    const [conn, peer] = await server.accept();
    await using accepted = conn;
    assert.equal((await accepted.recv(1024)).toString(), "Hello, Server");
    await accepted.sendAll("Welcome to my server");
    assert.equal((await client.recv(1024)).toString(), "Welcome to my server");

    assert.deepEqual(peer, client.getsockname());
    assert.deepEqual(accepted.getpeername(), client.getsockname());
    assert.deepEqual(client.getpeername(), server.getsockname());
    assert.deepEqual(accepted.getsockname(), server.getsockname());
    for (const socket of [server, client, accepted]) {
      assert.equal(socket.family, family.family);
      assert.equal(socket.type, SOCK_STREAM);
      assert.ok(socket.fileno() > 2);
      assert.equal(socket.closed, false);
    }
  });

  test(`a socket ${over} is close-on-exec and non-blocking, also when it was accepted`, async () => {
    await using both = await connected(family);
    for (const socket of [both.client, both.conn, both.server]) {
      const flags = /flags:\s+(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${socket.fileno()}`, "latin1"));
      const bits = Number.parseInt(flags![1]!, 8);
      assert.equal(bits & 0o4000, 0o4000, "O_NONBLOCK");
      assert.equal(bits & 0o2000000, 0o2000000, "O_CLOEXEC");
    }
  });

  test(`accept() ${over} waits for a connection, and gives those of the queue in their order`, async () => {
    await using server = await listening(family);
    const waiting = server.accept();
    const clients = [];
    for (let i = 0; i < 3; i++) {
      const client = new Socket(family.family, SOCK_STREAM);
      await client.connect(server.getsockname());
      await client.sendAll(String(i));
      clients.push(client);
    }
    const conns = [(await waiting)[0], (await server.accept())[0], (await server.accept())[0]];
    for (const [index, conn] of conns.entries()) assert.equal((await conn.recv(10)).toString(), String(index));
    for (const socket of [...clients, ...conns]) socket.close();
  });

  test(`for await over connections ${over} ends when the socket is closed, and a break leaves no waiting call`, async () => {
    await using server = await listening(family);
    const dial = async (): Promise<Socket> => {
      const client = new Socket(family.family, SOCK_STREAM);
      await client.connect(server.getsockname());
      return client;
    };
    const clients = [await dial(), await dial(), await dial()];
    let count = 0;
    for await (const [conn] of server) {
      conn.close();
      if (++count === 2) break;
    }
    assert.equal(count, 2);
    const rest = (async () => {
      for await (const [conn] of server) {
        count++;
        conn.close();
        server.close();
      }
    })();
    await rest;
    assert.equal(count, 3);
    for (const client of clients) client.close();
    // Over a socket that is closed already there is nothing.
    for await (const pair of server) assert.fail(`accepted ${String(pair[1])}`);
  });

  test(`shutdown(SHUT_WR) ${over} is the end for the peer, which can still answer`, async () => {
    await using both = await connected(family);
    await both.client.sendAll("question");
    both.client.shutdown(SHUT_WR);
    assert.equal((await receiveAll(both.conn)).toString(), "question");
    assert.equal((await both.conn.recv(1)).length, 0, "the end stays the end");
    await both.conn.sendAll("answer");
    both.conn.close();
    assert.equal((await receiveAll(both.client)).toString(), "answer");
    await assert.rejects(both.client.send("more"), { code: "EPIPE", syscall: "send" });
  });

  test(`an end that arrives while recv() waits ${over} wakes it: shutdown of either side, close, both directions`, async () => {
    for (const end of [
      ({ client }: { client: Socket }) => client.shutdown(SHUT_WR),
      ({ client }: { client: Socket }) => client.shutdown(SHUT_RDWR),
      ({ client }: { client: Socket }) => client.close(),
      ({ conn }: { conn: Socket }) => conn.shutdown(SHUT_RD),
    ]) {
      await using both = await connected(family);
      const received = both.conn.recv(10);
      const into = both.conn.recvInto(Buffer.alloc(10));
      end(both);
      assert.equal((await received).length, 0);
      assert.equal(await into, 0);
    }
  });

  test(`data and the end that arrive together ${over} are both read`, async () => {
    for (let round = 0; round < 50; round++) {
      await using both = await connected(family);
      const first = both.conn.recv(100);
      await both.client.sendAll("last words");
      both.client.close();
      assert.equal((await first).toString(), "last words");
      assert.equal((await both.conn.recv(100)).length, 0);
    }
  });

  test(`recv() ${over} gives what there is, exactly, and leaves the rest`, async () => {
    await using both = await connected(family);
    const sent = pattern(5000);
    await both.client.sendAll(sent);
    const got: Buffer[] = [];
    for (const size of [1, 95, 96, 97, 1000]) got.push(await both.conn.recv(size));
    assert.deepEqual(
      got.map((part) => part.length),
      [1, 95, 96, 97, 1000],
    );
    const into = Buffer.alloc(10_000, 0xee);
    const count = await both.conn.recvInto(into.subarray(100, 9000));
    got.push(into.subarray(100, 100 + count));
    assert.deepEqual(Buffer.concat(got), sent);
    assert.ok(into.subarray(0, 100).every((byte) => byte === 0xee));
    assert.ok(
      into.subarray(100 + count).every((byte) => byte === 0xee),
      "nothing is written past what came",
    );
  });

  test(`MSG_PEEK and MSG_WAITALL ${over} reach the kernel`, async () => {
    await using both = await connected(family);
    await both.client.sendAll("abcdef");
    assert.equal((await both.conn.recv(3, { flags: MSG_PEEK })).toString(), "abc");
    assert.equal((await both.conn.recv(3, { flags: MSG_PEEK })).toString(), "abc");
    assert.equal((await both.conn.recv(100, { flags: MSG_WAITALL, timeout: 1000 })).toString(), "abcdef");
  });

  test(`recvfrom() and recvfromInto() ${over} work on a stream`, async () => {
    await using both = await connected(family);
    await both.client.sendAll("abcdef");
    assert.equal((await both.conn.recvfrom(3))[0].toString(), "abc");
    const buffer = Buffer.alloc(8);
    assert.equal((await both.conn.recvfromInto(buffer))[0], 3);
    assert.equal(buffer.toString("latin1", 0, 3), "def");
  });

  test(`nothing to send and nothing to receive ${over} are no errors`, async () => {
    await using both = await connected(family);
    assert.equal(await both.client.send(""), 0);
    assert.equal(await both.client.send([]), 0);
    assert.equal(await both.client.send([Buffer.alloc(0), ""]), 0);
    await both.client.sendAll(new Uint8Array(0));
    await both.client.sendAll("x");
    assert.equal((await both.conn.recv(1)).toString(), "x", "none of the empty ones was seen");
  });

  test(`a list is sent with one call ${over}, strings as UTF-8`, async () => {
    await using both = await connected(family);
    const parts = ["größe ", Buffer.from("and "), "", new Uint8Array([0xe2, 0x82, 0xac])];
    assert.equal(await both.client.send(parts), 15);
    assert.equal((await both.conn.recv(100)).toString(), "größe and €");
  });

  test(`sendAll() ${over} to a peer that reads late waits, and every byte arrives in its place`, async () => {
    await using both = await connected(family);
    both.client.setsockopt(SO_SNDBUF, 65536);
    both.conn.setsockopt(SO_RCVBUF, 65536);
    const sent = pattern(16 << 20);
    let done = false;
    const sending = both.client.sendAll(sent).then(() => {
      done = true;
      both.client.shutdown(SHUT_WR);
    });
    await assert.rejects(both.client.writable({ timeout: 20 }), { code: "ETIMEDOUT" });
    assert.equal(done, false, "the kernel has not taken it all");
    const received = await receiveAll(both.conn, 1 << 20);
    await sending;
    assert.equal(received.length, sent.length);
    assert.ok(received.equals(sent));
  });

  test(`a sendAll() ${over} waits for room also where a recv() waits already`, async () => {
    await using connection = await connected(family);
    const { client, conn } = connection;
    const data = Buffer.alloc(8 << 20, 7);
    for (const [from, to] of [
      [conn, client],
      [client, conn],
    ] as const) {
      const read = from.recv(1);
      assert.equal(from.trySend("first"), 5);
      const sent = from.sendAll(data);
      let count = 0;
      while (count < 5 + data.length) count += (await to.recv(1 << 20)).length;
      await sent;
      await to.send("x");
      assert.equal(String(await read), "x");
    }
  });

  test(`several sendAll() at a time ${over} do not mix`, async () => {
    await using both = await connected(family);
    both.client.setsockopt(SO_SNDBUF, 8192);
    const blocks = Array.from({ length: 20 }, (_, index) => Buffer.alloc(50_000, index));
    const sending = Promise.all(blocks.map((block) => both.client.sendAll(block))).then(() =>
      both.client.shutdown(SHUT_WR),
    );
    const received = await receiveAll(both.conn);
    await sending;
    assert.ok(received.equals(Buffer.concat(blocks)));
  });

  test(`a sendAll() of a long list ${over} arrives whole`, async () => {
    await using both = await connected(family);
    const parts = Array.from({ length: 5000 }, (_, index) => pattern(index % 700, index));
    const sending = both.client.sendAll(parts).then(() => both.client.shutdown(SHUT_WR));
    const received = await receiveAll(both.conn);
    await sending;
    assert.ok(received.equals(Buffer.concat(parts)));
  });

  test(`one recv() of many megabytes ${over} returns the available bytes`, async () => {
    await using both = await connected(family);
    const sent = pattern(4 << 20);
    const sending = both.client.sendAll(sent).then(() => both.client.shutdown(SHUT_WR));
    const received = await receiveAll(both.conn, 8 << 20);
    await sending;
    assert.ok(received.equals(sent));
  });

  test(`a sendAll() that ends by a timeout ${over} reports how many bytes were sent`, async () => {
    await using both = await connected(family);
    const sent = pattern(32 << 20);
    const error = await both.client.sendAll(sent, { timeout: 20 }).then(
      () => assert.fail("the peer reads nothing"),
      (reason: unknown) => reason as { code: string; transferred: number },
    );
    assert.equal(error.code, "ETIMEDOUT");
    assert.ok(error.transferred > 0 && error.transferred < sent.length);
    both.client.shutdown(SHUT_WR);
    const received = await receiveAll(both.conn, 1 << 20);
    assert.equal(received.length, error.transferred);
    assert.ok(received.equals(sent.subarray(0, error.transferred)));
  });

  test(`a write to a closed peer ${over} rejects with EPIPE, without a signal`, async () => {
    await using both = await connected(family);
    both.conn.close();
    const error = await (async () => {
      for (;;) await both.client.sendAll(pattern(65536));
    })().catch((reason: unknown) => reason as { code: string; syscall: string; transferred: number });
    assert.ok(["EPIPE", "ECONNRESET"].includes(error.code), error.code);
    assert.equal(error.syscall, "send");
    assert.equal(typeof error.transferred, "number");
  });

  test(`readable() and writable() ${over} wait and take nothing`, async () => {
    await using both = await connected(family);
    await both.client.writable();
    const waiting = both.conn.readable();
    await assert.rejects(both.conn.readable({ timeout: 1 }), { code: "ETIMEDOUT", syscall: "poll" });
    await both.client.sendAll("x");
    await waiting;
    await both.conn.readable();
    assert.equal((await both.conn.recv(10)).toString(), "x");
    both.client.close();
    await both.conn.readable();
    assert.equal((await both.conn.recv(10)).length, 0);

    await using server = await listening(family);
    const acceptable = server.readable();
    await using client = new Socket(family.family, SOCK_STREAM);
    await client.connect(server.getsockname());
    await acceptable;
    (await server.accept())[0].close();
  });

  test(`bind() to a used address, and connect() without a listener, are refused ${over}`, async () => {
    await using server = await listening(family);
    const address = server.getsockname();
    await using other = new Socket(family.family, SOCK_STREAM);
    const where =
      address instanceof UnixAddress
        ? { path: address.path }
        : address instanceof InetAddress || address instanceof Inet6Address
          ? { address: address.host, port: address.port }
          : {};
    await assert.rejects(other.bind(address), { code: "EADDRINUSE", syscall: "bind", ...where });
    server.close();
    const code = "ECONNREFUSED";
    await assert.rejects(other.connect(address), { code, syscall: "connect", ...where });
    // A socket whose connect failed can be used for another try.
    await using again = await listening(family);
    await other.connect(again.getsockname());
  });

  test(`recv() and getpeername() of a socket ${over} that is not connected are refused`, async () => {
    await using socket = new Socket(family.family, SOCK_STREAM);
    const code = family.family === AF_UNIX ? "EINVAL" : "ENOTCONN";
    await assert.rejects(socket.recv(1), { code, syscall: "recv" });
    assert.throws(() => socket.getpeername(), { code: "ENOTCONN", syscall: "getpeername" });
    // UNIX sockets of Linux take a shutdown at any time.
    if (family.family !== AF_UNIX) {
      assert.throws(() => socket.shutdown(SHUT_RDWR), { code: "ENOTCONN", syscall: "shutdown" });
    }
    await assert.rejects(socket.accept(), { code: "EINVAL", syscall: "accept" });
  });
}

for (const family of networkFamilies) {
  test(`a read of a reset connection over ${family.name} rejects with ECONNRESET, with or without waiting`, async () => {
    for (const wait of [true, false]) {
      await using both = await connected(family);
      both.client.setsockopt(SO_LINGER, 0);
      if (wait) {
        const received = both.conn.recv(10);
        both.client.close();
        await assert.rejects(received, {
          code: "ECONNRESET",
          syscall: "recv",
          message: /^recv ECONNRESET \S+:\d+ -> \S+:\d+: connection reset by peer$/,
        });
      } else {
        both.client.close();
        await assert.rejects(both.conn.recv(10), { code: "ECONNRESET" });
      }
      // The kernel reports the error once; then it is the end of the stream.
      assert.equal((await both.conn.recv(10)).length, 0);
    }
  });

  test(`SO_ERROR takes the pending error of a connection over ${family.name} away`, async () => {
    await using both = await connected(family);
    both.client.setsockopt(SO_LINGER, 0);
    both.client.close();
    await both.conn.readable();
    assert.equal(both.conn.getsockopt(SO_ERROR), "ECONNRESET");
    assert.equal(both.conn.getsockopt(SO_ERROR), null);
  });

  test(`connect() over ${family.name} to a name looks up an address of the socket's family`, async () => {
    await using server = new Socket(family.family, SOCK_STREAM);
    await server.bind(["", 0]);
    server.listen();
    const { port } = server.getsockname() as InetAddress;
    await using client = new Socket(family.family, SOCK_STREAM);
    await client.connect([family.name === "IPv4" ? "localhost" : "::1", port]);
    const [conn, peer] = await server.accept();
    conn.close();
    assert.equal(peer.family, family.family);
  });
}

test("a name that has no address of the socket's family is an EAI_ error that names it", async () => {
  // Decided without a name server, because no name has a UNIX address.
  await using socket = new Socket(AF_UNIX, SOCK_STREAM);
  const expected = {
    code: "EAI_FAMILY",
    syscall: "getaddrinfo",
    address: "localhost",
    message: "getaddrinfo EAI_FAMILY localhost: ai_family not supported",
  };
  await assert.rejects(socket.connect(["localhost", 80]), expected);
  await assert.rejects(socket.bind(["localhost", 80]), expected);
  await assert.rejects(socket.sendto("x", ["localhost", 80]), expected);
});

test("the path of a closed UNIX socket stays, and must be removed before it can be bound again", async () => {
  const path = families[2]!.address() as UnixAddress;
  const server = new Socket(AF_UNIX, SOCK_STREAM);
  await server.bind(path);
  assert.ok(statSync(path.path).isSocket());
  server.close();
  assert.ok(existsSync(path.path));
  await using again = new Socket(AF_UNIX, SOCK_STREAM);
  await assert.rejects(again.bind(path), {
    code: "EADDRINUSE",
    path: path.path,
    message: `bind EADDRINUSE ${path.path}: address already in use`,
  });
  await assert.rejects(again.bind({ path: "/nonexistent/x.sock" }), { code: "ENOENT", path: "/nonexistent/x.sock" });
  await assert.rejects(again.connect({ path: "/nonexistent/x.sock" }), {
    code: "ENOENT",
    message: "connect ENOENT /nonexistent/x.sock: no such file or directory",
  });
});

test("bind() of a UNIX socket to no name has the kernel choose an abstract one", async () => {
  await using socket = new Socket(AF_UNIX, SOCK_STREAM);
  await socket.bind(new UnixAddress(""));
  assert.match(socket.getsockname().path, /^\0[0-9a-f]{5}$/);
});

test("an accepted unbound UNIX client has no name", async () => {
  await using both = await connected(families[2]);
  assert.deepEqual(both.peer, new UnixAddress(""));
  assert.equal(String(both.peer), "unix:");
});

test("connect() waits while the queue of a UNIX listener is full", async () => {
  await using server = await listening(families[2], 0);
  const clients: Socket[] = [];
  const dial = (timeout: number | null): Promise<void> => {
    const client = new Socket(AF_UNIX, SOCK_STREAM);
    clients.push(client);
    return client.connect(server.getsockname(), { timeout });
  };
  await dial(null);
  await assert.rejects(dial(20), { code: "ETIMEDOUT", syscall: "connect" });
  const waiting = dial(null);
  (await server.accept())[0].close();
  await waiting;
  for (const client of clients) client.close();
});

test("a UNIX path and an abstract name of 107 bytes are the longest, and arrive whole", async () => {
  const path = families[2]!.address() as UnixAddress;
  const long = path.path.padEnd(107, "x");
  for (const name of [long, `\0${`${process.pid}-`.padEnd(107, "y")}`]) {
    await using server = new Socket(AF_UNIX, SOCK_STREAM);
    await server.bind(new UnixAddress(name));
    assert.deepEqual(server.getsockname(), new UnixAddress(name));
  }
  await using socket = new Socket(AF_UNIX, SOCK_STREAM);
  await assert.rejects(socket.bind({ path: `${long}x` }), RangeError);
});
