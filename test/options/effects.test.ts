// Options that are tested by their effect, because the value that is read back does not show it.
import assert from "node:assert/strict";
import { closeSync, readFileSync } from "node:fs";
import { describe, test } from "node:test";
import {
  AF_INET,
  AF_UNIX,
  IP_TTL,
  MSG_PEEK,
  SO_PEEK_OFF,
  SO_PEERCRED,
  SO_PEERPIDFD,
  SO_RCVLOWAT,
  Socket,
  SOCK_DGRAM,
  SOCK_STREAM,
  socketpair,
  TCP_CC_INFO,
  TCP_CONGESTION,
  TCP_CORK,
  TCP_DEFER_ACCEPT,
  TCP_INFO,
  TCP_MAXSEG,
  TCP_NODELAY,
  TCP_SAVE_SYN,
  TCP_SAVED_SYN,
  UDP_CORK,
} from "berkeley";
import { checkLeaks } from "../support/leaks.js";
import { kernelHas, Pair } from "./support.js";

checkLeaks();

const patience = { timeout: 10_000 };

async function connected(
  prepareServer: (server: Socket) => void,
  prepareClient: (client: Socket) => void,
): Promise<Pair> {
  using server = new Socket();
  await server.bind("127.0.0.1:0");
  prepareServer(server);
  server.listen(1);
  const client = new Socket();
  prepareClient(client);
  await client.connect(server.getsockname());
  const [peer] = await server.accept();
  return new Pair([client, peer]);
}

const nothing = (): void => undefined;

describe("TCP", () => {
  test("TCP_MAXSEG limits the segments of both sides", async () => {
    using pair = await connected(nothing, (socket) => socket.setsockopt(TCP_MAXSEG, 600));
    const { a: client, b: peer } = pair;
    assert.ok(client.getsockopt(TCP_INFO).tcpi_snd_mss <= 600);
    assert.ok(peer.getsockopt(TCP_INFO).tcpi_snd_mss <= 600);
  });

  test("TCP_SAVED_SYN has the headers of the SYN, once", async () => {
    using pair = await connected(
      (server) => server.setsockopt(TCP_SAVE_SYN, 1),
      (socket) => socket.setsockopt(IP_TTL, 77),
    );
    const { b: peer } = pair;
    const headers = peer.getsockopt(TCP_SAVED_SYN);
    assert.equal(headers[0]! >> 4, 4);
    assert.equal(headers[8], 77);
    assert.equal(headers[20 + 13], 0x02, "the SYN flag alone");
    assert.equal(peer.getsockopt(TCP_SAVED_SYN).length, 0);
  });

  test("TCP_CORK delays bytes that do not fill a segment", async () => {
    using pair = await connected(nothing, (socket) => socket.setsockopt(TCP_NODELAY, true));
    const { a: client, b: peer } = pair;
    client.setsockopt(TCP_CORK, true);
    await client.send("head ");
    await client.send("body");
    assert.equal(client.getsockopt(TCP_INFO).tcpi_notsent_bytes, 9);
    client.setsockopt(TCP_CORK, false);
    assert.equal(String(await peer.recv(100, patience)), "head body");
    assert.equal(client.getsockopt(TCP_INFO).tcpi_notsent_bytes, 0);
  });

  test("TCP_DEFER_ACCEPT leaves a connection in the kernel until it has data", async () => {
    using server = new Socket();
    await server.bind("127.0.0.1:0");
    server.setsockopt(TCP_DEFER_ACCEPT, 30);
    server.listen(2);
    using silent = new Socket();
    await silent.connect(server.getsockname());
    using talking = new Socket();
    await talking.connect(server.getsockname());
    await talking.send("first");
    const [peer, from] = await server.accept(patience);
    using _ = peer;
    assert.equal(String(from), String(talking.getsockname()));
    assert.equal(String(await peer.recv(10)), "first");
  });

  test("TCP_CC_INFO has the data of the algorithm that TCP_CONGESTION selects", async () => {
    using pair = await connected(nothing, (socket) => socket.setsockopt(TCP_CONGESTION, "reno"));
    const { a: client } = pair;
    assert.deepEqual(client.getsockopt(TCP_CC_INFO).bbr, null);
    assert.equal(client.getsockopt(TCP_CC_INFO).bytes.length, 0);
    const available = readFileSync("/proc/sys/net/ipv4/tcp_allowed_congestion_control", "utf8").trim().split(" ");
    if (!available.includes("bbr")) return;
    client.setsockopt(TCP_CONGESTION, "bbr");
    assert.equal(client.getsockopt(TCP_CONGESTION), "bbr");
    assert.equal(typeof client.getsockopt(TCP_CC_INFO).bbr?.bbr_min_rtt, "number");
  });

  test("TCP_INFO has the fields of newer kernels", { skip: !kernelHas("6.7") }, async () => {
    using pair = await connected(nothing, nothing);
    const { a: client } = pair;
    const info = client.getsockopt(TCP_INFO);
    assert.ok(info.tcpi_rcv_wnd! > 0);
    assert.equal(info.tcpi_total_rto, 0);
    assert.equal(info.tcpi_total_rto_time, 0);
  });

  test("SO_RCVLOWAT keeps a socket from being readable", async () => {
    using pair = await connected(nothing, nothing);
    const { a: client, b: peer } = pair;
    peer.setsockopt(SO_RCVLOWAT, 10);
    await client.send("12345");
    await assert.rejects(peer.readable({ timeout: 30 }), { code: "ETIMEDOUT" });
    await client.send("67890");
    await peer.readable(patience);
    assert.equal(String(await peer.recv(100)), "1234567890");
  });
});

describe("datagrams", () => {
  test("UDP_CORK makes one datagram of several sends", async () => {
    using receiver = new Socket(AF_INET, SOCK_DGRAM);
    await receiver.bind("127.0.0.1:0");
    using sender = new Socket(AF_INET, SOCK_DGRAM);
    await sender.connect(receiver.getsockname());
    sender.setsockopt(UDP_CORK, true);
    await sender.send("one, ");
    await sender.send("two");
    sender.setsockopt(UDP_CORK, false);
    assert.equal(String(await receiver.recv(100, patience)), "one, two");
  });
});

describe("UNIX sockets", () => {
  test("SO_PEEK_OFF moves on with each peek", async () => {
    using pair = new Pair(socketpair(AF_UNIX, SOCK_STREAM));
    const { a, b } = pair;
    await a.send("aabbccddeeff");
    b.setsockopt(SO_PEEK_OFF, 4);
    assert.equal(String(await b.recv(2, { flags: MSG_PEEK })), "cc");
    assert.equal(String(await b.recv(2, { flags: MSG_PEEK })), "dd");
    assert.equal(String(await b.recv(2)), "aa");
    assert.equal(String(await b.recv(2, { flags: MSG_PEEK })), "ee");
  });

  test("SO_PEERCRED names this process", () => {
    using pair = new Pair(socketpair());
    const { a } = pair;
    assert.deepEqual(a.getsockopt(SO_PEERCRED), {
      pid: process.pid,
      uid: process.geteuid?.(),
      gid: process.getegid?.(),
    });
  });

  test("SO_PEERPIDFD is a descriptor of this process, close-on-exec", { skip: !kernelHas("6.5") }, () => {
    using pair = new Pair(socketpair());
    const { a } = pair;
    const fd = a.getsockopt(SO_PEERPIDFD);
    try {
      const about = readFileSync(`/proc/self/fdinfo/${fd}`, "utf8");
      assert.match(about, new RegExp(`^Pid:\\t${process.pid}$`, "m"));
      assert.equal(Number.parseInt(/^flags:\s*(\d+)$/m.exec(about)![1]!, 8) & 0o2000000, 0o2000000);
    } finally {
      closeSync(fd);
    }
  });
});
