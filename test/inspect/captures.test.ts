// Captures of the inspector, read by tshark: each way to send, to receive and to end a connection.
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect as netConnect, createServer, type Server, Socket as NetSocket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  connect,
  DatagramBatch,
  forward,
  IP_RECVERR,
  listen,
  MSG_ERRQUEUE,
  MSG_OOB,
  MSG_PEEK,
  MSG_TRUNC,
  pump,
  recv_fds,
  send_fds,
  SHUT_WR,
  SO_LINGER,
  Socket,
  SOCK_DGRAM,
  socketpair,
  Stream,
  TlsListener,
  toDuplex,
  UDP_SEGMENT,
  wrapTls,
} from "berkeley";
import { type Inspector, startInspector } from "berkeley/inspect";
import { type Conversation, readConversations } from "berkeley/pcapng";
import { readFully } from "berkeley/testing";
import { missing } from "../cli/support.js";
import { checkLeaks } from "../support/leaks.js";
import { complaints, fields, follow } from "../support/tshark.js";
import { serving, trusting } from "../tls/support.js";

checkLeaks();

const folder = mkdtempSync(join(tmpdir(), "berkeley-captures-"));
after(() => rmSync(folder, { recursive: true }));
const opts = { skip: missing("tshark") };

let count = 0;

/** Records the calls of `work`. Resolves with the path of the capture. */
async function record(work: (inspector: Inspector) => Promise<void>, more: object = {}): Promise<string> {
  const file = join(folder, `${++count}.pcapng`);
  const inspector = await startInspector({ record: file, ...more });
  try {
    await work(inspector);
  } finally {
    await inspector.close();
  }
  assert.equal(complaints(file), "");
  return file;
}

const conversations = (file: string): Conversation[] => readConversations(readFileSync(file));

/** The bytes that each side has sent, and how many of its bytes were not stored. */
function sides({ turns }: Conversation): { client: string; server: string; cutClient: number; cutServer: number } {
  const of = (wanted: string): string =>
    turns.flatMap(({ side, bytes }) => (side === wanted ? [String(bytes)] : [])).join("");
  const cut = (wanted: string): number =>
    turns.reduce((sum, { side, cut: more = 0 }) => sum + (side === wanted ? more : 0), 0);
  return { client: of("client"), server: of("server"), cutClient: cut("client"), cutServer: cut("server") };
}

const flagged = (file: string, flag: "fin" | "reset"): number =>
  fields(file, ["frame.number"], `tcp.flags.${flag} == 1`).length;

async function listening(family: number = AF_INET, host: string = "127.0.0.1"): Promise<Socket> {
  const listener = new Socket(family);
  await listener.bind([host, 0]);
  listener.listen(8);
  return listener;
}

async function pair(): Promise<[client: Socket, server: Socket]> {
  using listener = await listening();
  const client = new Socket();
  await client.connect(listener.getsockname());
  const [server] = await listener.accept();
  return [client, server];
}

const portOf = (socket: { getsockname(): unknown }): number => (socket.getsockname() as { port: number }).port;

async function nodeServer(path: string | number): Promise<{ server: Server; port: number }> {
  const server = createServer();
  if (typeof path === "string") server.listen(path);
  else server.listen(path, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return { server, port: typeof address === "object" ? address!.port : 0 };
}

/** Not once(), which rejects after an error. */
const closedOf = (node: NetSocket): Promise<void> => new Promise((resolve) => void node.once("close", () => resolve()));

async function read(socket: Socket, length: number): Promise<string> {
  const parts: Buffer[] = [];
  for (let left = length; left > 0;) {
    // oxlint-disable-next-line no-await-in-loop -- a stream is read piece by piece
    const part = await socket.recv(left);
    assert.ok(part.length > 0);
    parts.push(part);
    left -= part.length;
  }
  return String(Buffer.concat(parts));
}

test(
  "a socket that was given to Node is not followed, and what it sends there is in the capture once",
  opts,
  async () => {
    const file = await record(async () => {
      const [client, server] = await pair();
      await client.sendAll("one ");
      assert.equal(await read(server, 4), "one ");
      // On its way while the descriptor leaves.
      await client.sendAll("two ");
      const node = new NetSocket({ fd: client.detach() });
      node.end("three");
      assert.equal(await read(server, 9), "two three");
      assert.equal((await server.recv(1)).length, 0);
      server.close();
      await once(node.resume(), "close");
    });
    const [conversation, ...rest] = conversations(file);
    assert.deepEqual(rest, []);
    assert.equal(sides(conversation!).client, "one two three");
    assert.equal(flagged(file, "fin"), 2);
    const [comment = ""] = fields(file, ["frame.comment"], 'frame.comment contains "detach"').flat();
    assert.match(comment, /^detach at .*captures\.test\.(js|ts):\d+:\d+: later bytes of this end are not recorded$/);
  },
);

test(
  "a connection with the addresses of one that was given away is another one, with all of its bytes",
  opts,
  async () => {
    const file = await record(async () => {
      using listener = await listening();
      let port = 0;
      for (const text of ["first", "second"]) {
        const client = new Socket();
        await client.bind(["127.0.0.1", port]);
        port = portOf(client);
        await client.connect(listener.getsockname());
        const [server] = await listener.accept();
        await client.sendAll(text);
        assert.equal(await read(server, text.length), text);
        await server.sendAll(text.toUpperCase());
        assert.equal(await read(client, text.length), text.toUpperCase());
        const nodes = [client, server].map((socket) => new NetSocket({ fd: socket.detach() }));
        // Without TIME_WAIT, so that the addresses are free.
        nodes[0]!.resetAndDestroy();
        nodes[1]!.on("error", () => undefined).resume();
        await Promise.all(nodes.filter(({ closed }) => !closed).map((node) => closedOf(node)));
      }
    });
    const both = conversations(file);
    assert.deepEqual(
      both.map((one) => [sides(one).client, sides(one).server]),
      [
        ["first", "FIRST"],
        ["second", "SECOND"],
      ],
    );
    assert.equal(both[0]!.client, both[1]!.client);
    assert.equal(String(follow(file, 1).client), "second");
  },
);

test("a socket that a message carries to another holder is not finished by its close", opts, async () => {
  const file = await record(async () => {
    const { server, port } = await nodeServer(0);
    const accepted = once(server, "connection");
    const socket = new Socket();
    await socket.connect(["127.0.0.1", port]);
    const [peer] = (await accepted) as [NetSocket];
    await socket.sendAll("mine");
    const [left, right] = socketpair();
    await send_fds(left, "x", [socket]);
    socket.close();
    const [, descriptors] = await recv_fds(right, 1, 1);
    const carried = new NetSocket({ fd: descriptors.take()[0]! });
    carried.end("theirs");
    peer.resume();
    await Promise.all([once(peer, "close"), once(carried.resume(), "close")]);
    left.close();
    right.close();
    server.close();
    await once(server, "close");
  });
  const tcp = fields(
    file,
    ["tcp.flags.fin", "frame.comment"],
    "ip.src == 127.0.0.1 && tcp.dstport != 1 && tcp.srcport != 1",
  );
  assert.ok(tcp.every(([fin]) => fin === "0" || fin === "False"));
  assert.ok(tcp.some(([, comment]) => comment?.includes("another process or thread has the socket")));
});

test("the two descriptors of a socket are one end, which the last close() finishes", opts, async () => {
  const file = await record(async () => {
    const [client, server] = await pair();
    const copy = client.dup();
    await client.sendAll("one ");
    client.close();
    await copy.sendAll("two");
    assert.equal(await read(server, 7), "one two");
    copy.close();
    assert.equal((await server.recv(1)).length, 0);
    server.close();
  });
  const [conversation, ...rest] = conversations(file);
  assert.deepEqual(rest, []);
  assert.equal(sides(conversation!).client, "one two");
  assert.equal(flagged(file, "fin"), 2);
});

test("a client that sends and closes before the server reads: its FIN follows its bytes", opts, async () => {
  const file = await record(async () => {
    const [client, server] = await pair();
    await client.sendAll("all of it");
    client.close();
    assert.equal(await read(server, 9), "all of it");
    assert.equal((await server.recv(1)).length, 0);
    server.close();
  });
  const packets = fields(file, ["tcp.len", "tcp.flags.fin"], "tcp.len > 0 || tcp.flags.fin == 1");
  assert.deepEqual(
    packets.map(([length, fin]) => [length, /1|True/.test(fin!)]),
    [
      ["9", false],
      ["0", true],
      ["0", true],
    ],
  );
});

test("an error of recv is no reset, and ECONNRESET is one that no FIN follows", opts, async () => {
  const file = await record(async () => {
    const { server, port } = await nodeServer(0);
    const accepted = once(server, "connection");
    const socket = new Socket();
    await socket.connect(["127.0.0.1", port]);
    const [peer] = (await accepted) as [NetSocket];
    // No byte is urgent.
    await assert.rejects(socket.recv(1, { flags: MSG_OOB }), { code: "EINVAL" });
    peer.write("still here");
    assert.equal(await read(socket, 10), "still here");
    peer.resetAndDestroy();
    await assert.rejects(socket.recv(1), { code: "ECONNRESET" });
    socket.close();
    server.close();
    await once(server, "close");
  });
  const [conversation] = conversations(file);
  assert.equal(sides(conversation!).server, "still here");
  assert.equal(flagged(file, "fin"), 0);
  const resets = fields(file, ["frame.number", "tcp.seq"], "tcp.flags.reset == 1");
  assert.deepEqual(
    resets.map(([, sequence]) => sequence),
    ["11"],
  );
});

test("close() with SO_LINGER 0 is a reset", opts, async () => {
  const file = await record(async () => {
    const [client, server] = await pair();
    await client.sendAll("x");
    client.setsockopt(SO_LINGER, 0);
    client.close();
    await assert.rejects(
      (async () => {
        for (;;) await server.recv(10);
      })(),
      { code: "ECONNRESET" },
    );
    server.close();
  });
  assert.deepEqual([flagged(file, "fin"), flagged(file, "reset")], [0, 1]);
});

test("close() with unread bytes is a reset, of TCP and of a UNIX socket", opts, async () => {
  for (const make of [pair, async () => socketpair() as [Socket, Socket]]) {
    const file = await record(async () => {
      const [client, server] = await make();
      await client.sendAll("unread");
      await server.readable();
      server.close();
      await assert.rejects(client.recv(10), { code: "ECONNRESET" });
      client.close();
    });
    assert.deepEqual([flagged(file, "fin"), flagged(file, "reset")], [0, 1]);
    assert.equal(sides(conversations(file)[0]!).client, "unread");
  }
});

test("bytes of MSG_PEEK and MSG_ERRQUEUE are neither counted as received nor in the capture", opts, async () => {
  const file = await record(async (inspector) => {
    const { server, port } = await nodeServer(0);
    const accepted = once(server, "connection");
    const socket = new Socket();
    await socket.connect(["127.0.0.1", port]);
    const [peer] = (await accepted) as [NetSocket];
    peer.end("hello");
    assert.equal(String(await socket.recv(10, { flags: MSG_PEEK })), "hello");
    assert.equal(String(await socket.recv(10, { flags: MSG_PEEK })), "hello");
    const row = inspector.sockets().find(({ family }) => family === "AF_INET")!;
    assert.deepEqual(row.received, { bytes: 0, calls: 0 });
    assert.equal(await read(socket, 5), "hello");
    const calls = (await inspector.socket(row.id))!.calls.filter(({ call }) => call === "recv");
    assert.deepEqual(
      calls.filter(({ wouldBlock }) => !wouldBlock).map(({ detail, moved }) => [detail, moved]),
      [
        ["MSG_PEEK", null],
        ["MSG_PEEK", null],
        ["", { bytes: 5, sent: false }],
      ],
    );
    peer.destroy();
    socket.close();
    server.close();
    await once(server, "close");

    const sender = new Socket(AF_INET, SOCK_DGRAM);
    sender.setsockopt(IP_RECVERR, true);
    const closed = new Socket(AF_INET, SOCK_DGRAM);
    await closed.bind(["127.0.0.1", 0]);
    const gone = closed.getsockname();
    closed.close();
    await sender.sendto("nobody", gone);
    const { data } = await sender.recvmsg(100, { flags: MSG_ERRQUEUE });
    assert.equal(String(data), "nobody");
    const [datagrams] = inspector.sockets();
    assert.deepEqual([datagrams!.sent.bytes, datagrams!.received], [6, { bytes: 0, calls: 0 }]);
    sender.close();
  });
  assert.equal(String(follow(file).server), "hello");
  assert.equal(fields(file, ["udp.length"], "udp").length, 1);
});

test("bytes that MSG_TRUNC discards have a length and no content", opts, async () => {
  const file = await record(async () => {
    const { server, port } = await nodeServer(0);
    const accepted = once(server, "connection");
    const socket = new Socket();
    await socket.connect(["127.0.0.1", port]);
    const [peer] = (await accepted) as [NetSocket];
    peer.end("discarded, kept");
    await socket.recvInto(Buffer.alloc(11), { flags: MSG_TRUNC });
    assert.equal(await read(socket, 4), "kept");
    peer.destroy();
    socket.close();
    server.close();
    await once(server, "close");
  });
  const { server, cutServer } = sides(conversations(file)[0]!);
  assert.deepEqual([server, cutServer], ["kept", 11]);
});

test("an accepted UNIX socket is the server, whose client another program is", opts, async () => {
  const path = join(folder, "server.sock");
  const file = await record(async () => {
    const listener = new Socket(AF_UNIX);
    await listener.bind({ path });
    listener.listen(1);
    const client = netConnect(path);
    client.write("question");
    const [server] = await listener.accept();
    assert.equal(await read(server, 8), "question");
    await server.sendAll("answer");
    const [answer] = (await once(client, "data")) as [Buffer];
    assert.equal(String(answer), "answer");
    client.destroy();
    server.close();
    listener.close();
  });
  const { client, server } = sides(conversations(file)[0]!);
  assert.deepEqual([client, server], ["question", "answer"]);
  const [[comment = ""] = []] = fields(file, ["frame.comment"]);
  assert.ok(comment.endsWith(`: unix:${path}`), comment);
});

for (const named of [true, false]) {
  test(`the two ends of a UNIX connection are one: clients ${named ? "with" : "without"} a name`, opts, async () => {
    const path = join(folder, `both-${named}.sock`);
    const file = await record(async () => {
      const listener = new Socket(AF_UNIX);
      await listener.bind({ path });
      listener.listen(4);
      const clients: Socket[] = [];
      for (const name of ["a", "b"]) {
        const client = new Socket(AF_UNIX);
        if (named) await client.bind({ path: join(folder, `${name}-client.sock`) });
        await client.connect({ path });
        clients.push(client);
      }
      const servers = [(await listener.accept())[0], (await listener.accept())[0]];
      for (const [index, name] of ["a", "b"].entries()) {
        await clients[index]!.sendAll(`from ${name}`);
        assert.equal(await read(servers[index]!, 6), `from ${name}`);
        await servers[index]!.sendAll(`to ${name}`);
        assert.equal(await read(clients[index]!, 4), `to ${name}`);
      }
      for (const socket of [...clients, ...servers, listener]) socket.close();
    });
    assert.deepEqual(
      conversations(file).map((one) => [sides(one).client, sides(one).server]),
      [
        ["from a", "to a"],
        ["from b", "to b"],
      ],
    );
    assert.equal(flagged(file, "fin"), 4);
  });
}

test("a connection over IPv4 to a socket of IPv6 is one of IPv4", opts, async () => {
  const file = await record(async () => {
    const listener = await listening(AF_INET6, "::");
    const client = new Socket();
    await client.connect(["127.0.0.1", portOf(listener)]);
    const [server] = await listener.accept();
    await client.sendAll("ping");
    assert.equal(await read(server, 4), "ping");
    await server.sendAll("pong");
    assert.equal(await read(client, 4), "pong");
    for (const socket of [client, server, listener]) socket.close();
  });
  const [conversation, ...rest] = conversations(file);
  assert.deepEqual(rest, []);
  assert.match(conversation!.server, /^127\.0\.0\.1:/);
  assert.deepEqual([sides(conversation!).client, sides(conversation!).server], ["ping", "pong"]);
});

test("empty datagrams are in the capture, sent and received", opts, async () => {
  const file = await record(async () => {
    const other = createSocket("udp4");
    other.bind(0, "127.0.0.1");
    await once(other, "listening");
    const socket = new Socket(AF_INET, SOCK_DGRAM);
    await socket.bind(["127.0.0.1", 0]);
    await socket.sendto("", ["127.0.0.1", other.address().port]);
    await once(other, "message");
    other.send("", portOf(socket), "127.0.0.1");
    const [data] = await socket.recvfrom(10);
    assert.equal(data.length, 0);
    socket.close();
    other.close();
    await once(other, "close");
  });
  assert.deepEqual(fields(file, ["udp.length"], "udp"), [["8"], ["8"]]);
});

test("UNIX datagrams are in the capture once, between the ports of their names", opts, async () => {
  const [here, there] = [{ path: join(folder, "here.sock") }, { path: join(folder, "there.sock") }];
  const file = await record(async () => {
    const [one, other] = [new Socket(AF_UNIX, SOCK_DGRAM), new Socket(AF_UNIX, SOCK_DGRAM)];
    await one.bind(here);
    await other.bind(there);
    await one.sendto("question", there);
    await other.recvfrom(100);
    await other.sendto("answer", here);
    await one.recvfrom(100);
    const unnamed = new Socket(AF_UNIX, SOCK_DGRAM);
    await unnamed.sendto("from nobody", there);
    await other.recvfrom(100);
    const [left, right] = socketpair(AF_UNIX, SOCK_DGRAM);
    await left.send("pair");
    await right.recv(10);
    for (const socket of [one, other, unnamed, left, right]) socket.close();
  });
  assert.deepEqual(
    conversations(file).map(({ turns }) => turns.map(({ bytes }) => String(bytes))),
    [["question", "answer"], ["from nobody"], ["pair"]],
  );
});

test(
  "each datagram of a batch is in the capture, with its address and bytes, and counted in the table",
  opts,
  async () => {
    const file = await record(
      async (inspector) => {
        const [one, other] = [new Socket(AF_INET, SOCK_DGRAM), new Socket(AF_INET, SOCK_DGRAM)];
        await one.bind(["127.0.0.1", 0]);
        await other.bind(["127.0.0.1", 0]);
        const batch = new DatagramBatch({ capacity: 4, size: 100 });
        for (const text of ["one", "", "three"]) batch.add(text, other.getsockname());
        await one.sendmmsg(batch);
        assert.equal(await other.recvmmsg(batch), 3);
        const foreign = createSocket("udp4");
        foreign.bind(0, "127.0.0.1");
        await once(foreign, "listening");
        foreign.send("foreign, and longer than the slot".repeat(10), portOf(other), "127.0.0.1");
        assert.equal(await other.recvmmsg(batch, { flags: MSG_TRUNC }), 1);
        const rows = inspector.sockets();
        assert.deepEqual(
          rows.map(({ sent, received }) => [sent, received]),
          [
            [
              { bytes: 8, calls: 1 },
              { bytes: 0, calls: 0 },
            ],
            [
              { bytes: 0, calls: 0 },
              { bytes: 108, calls: 2 },
            ],
          ],
        );
        const calls = (await inspector.socket(rows[0]!.id))!.calls;
        const sent = calls.find(({ call }) => call === "sendmmsg")!;
        assert.deepEqual([sent.result, sent.moved, sent.detail], [3, { bytes: 8, sent: true }, "3 datagrams"]);
        assert.equal(Buffer.from(sent.payload!.base64, "base64").toString(), "onethree");
        assert.equal(sent.payload!.bytes, 8);
        for (const socket of [one, other]) socket.close();
        foreign.close();
        await once(foreign, "close");
      },
      { payloads: true },
    );
    const [batch, foreign, ...rest] = conversations(file);
    assert.deepEqual(rest, []);
    assert.deepEqual(
      batch!.turns.map(({ bytes }) => String(bytes)),
      ["one", "", "three"],
    );
    assert.deepEqual(
      foreign!.turns.map(({ bytes, cut }) => [bytes.length, cut]),
      [[100, 230]],
    );
  },
);

test("one send of many segments is many datagrams, by control data and by the option", opts, async () => {
  const file = await record(async () => {
    const other = createSocket("udp4");
    other.bind(0, "127.0.0.1");
    await once(other, "listening");
    const address: [string, number] = ["127.0.0.1", other.address().port];
    const socket = new Socket(AF_INET, SOCK_DGRAM);
    await socket.sendSegments(Buffer.alloc(250, "a"), 100, { address });
    socket.setsockopt(UDP_SEGMENT, 200);
    await socket.sendto(Buffer.alloc(500, "b"), address);
    socket.close();
    other.close();
    await once(other, "close");
  });
  assert.deepEqual(
    conversations(file)[0]!.turns.map(({ bytes }) => bytes.length),
    [100, 100, 50, 200, 200, 100],
  );
});

test("sendfile, and splice between two connections, have their lengths without the content", opts, async () => {
  const path = join(folder, "content");
  writeFileSync(path, Buffer.alloc(200_000, "file"));
  const descriptor = openSync(path, "r");
  const file = await record(async () => {
    const { server, port } = await nodeServer(0);
    const accepted = once(server, "connection");
    const socket = new Socket();
    await socket.connect(["127.0.0.1", port]);
    const [peer] = (await accepted) as [NetSocket];
    peer.resume();
    peer.write("thanks");
    await socket.sendAll("head ");
    await socket.sendfile(descriptor);
    await socket.sendAll(" tail");
    socket.shutdown(SHUT_WR);
    await once(peer, "end");
    assert.equal(await read(socket, 6), "thanks");
    socket.close();
    server.close();
    await once(server, "close");
  });
  closeSync(descriptor);
  assert.deepEqual(sides(conversations(file)[0]!), {
    client: "head  tail",
    server: "thanks",
    cutClient: 200_000,
    cutServer: 0,
  });
  assert.equal(fields(file, ["frame.number"], "tcp.analysis.lost_segment || tcp.analysis.ack_lost_segment").length, 0);
});

test(
  "pump() and forward() are in the capture and in the table while they run, with all their bytes",
  opts,
  async () => {
    const file = await record(async (inspector) => {
      const { server, port } = await nodeServer(0);
      server.on("connection", (peer) => peer.pipe(peer));
      await using forwarder = await forward("tcp://127.0.0.1:0", `tcp://127.0.0.1:${port}`);
      const client = netConnect((forwarder.address as { port: number }).port, "127.0.0.1");
      for (const size of [10, 20_000, 10, 10]) {
        const data = Buffer.alloc(size, "x");
        client.write(data);
        for (let got = 0; got < size;) got += ((await once(client, "data")) as [Buffer])[0].length;
      }
      const rows = inspector.sockets().filter(({ state }) => state === "ESTABLISHED");
      assert.deepEqual(
        rows.map(({ sent, received }) => [sent.bytes, received.bytes]),
        [
          [20_030, 20_030],
          [20_030, 20_030],
        ],
      );
      client.end();
      await once(client, "close");
      server.close();
      await once(server, "close");
    });
    assert.deepEqual(conversations(file).map(sides), [
      { client: "", server: "", cutClient: 20_030, cutServer: 20_030 },
      { client: "", server: "", cutClient: 20_030, cutServer: 20_030 },
    ]);

    const pumped = await record(async () => {
      const [[a, left], [b, right]] = [await pair(), await pair()];
      const pumping = pump(left, right);
      await a.sendAll("through the pump");
      assert.equal(await read(b, 16), "through the pump");
      a.close();
      assert.equal((await b.recv(1)).length, 0);
      b.close();
      await pumping;
      left.close();
      right.close();
    });
    const [from, to] = conversations(pumped).map(sides);
    assert.deepEqual([from!.client, to!.cutServer], ["through the pump", 16]);
  },
);

test(
  "a connection that changes to TLS ends with a comment, and the capture notes the missing bytes",
  opts,
  async () => {
    const file = await record(async () => {
      await using listener = new TlsListener(await listen("tcp://127.0.0.1:0"), { tls: serving() });
      const accepting = listener.accept();
      await using client = await wrapTls(await connect(`tcp://${String(listener.address)}`), trusting());
      await using server = await accepting;
      await client.write("hello");
      await readFully(server, 5);
    });
    const notes = fields(file, ["tcp.len", "frame.comment"], 'frame.comment contains "detach"');
    assert.equal(notes.length, 2);
    for (const [length, comment] of notes) {
      assert.equal(length, "0");
      assert.match(comment!, /later bytes of this end are not recorded$/);
    }
    assert.equal(flagged(file, "fin"), 0);
    assert.ok(readFileSync(file).includes("Bytes that Node.js itself moves are missing: TLS, node:net."));
  },
);

test("TLS over a connection in JavaScript is in the capture as the bytes on the wire", opts, async () => {
  const file = await record(async () => {
    await using outer = new TlsListener(await listen("tcp://127.0.0.1:0"), { tls: serving() });
    const accepting = outer.accept();
    // A Duplex has no descriptor.
    const wire = Stream.fromDuplex(toDuplex(await connect(`tcp://${String(outer.address)}`)));
    await using client = await wrapTls(wire, trusting());
    await using server = await accepting;
    await client.write("hello");
    await readFully(server, 5);
  });
  const { turns } = conversations(file)[0]!;
  // The records of handshakes, of both sides.
  assert.deepEqual(
    turns.slice(0, 2).map(({ side, bytes }) => [side, bytes[0]]),
    [
      ["client", 0x16],
      ["server", 0x16],
    ],
  );
  assert.ok(!turns.some(({ bytes }) => bytes.includes("hello")));
});
