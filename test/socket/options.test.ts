// The usual options on real sockets: set values are read back, and TCP_INFO has plausible values.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  Inet6Address,
  IP_TOS,
  IP_TTL,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPPROTO_TCP,
  IPPROTO_UDP,
  IPV6_V6ONLY,
  SHUT_WR,
  SO_ACCEPTCONN,
  SO_BROADCAST,
  SO_DOMAIN,
  SO_ERROR,
  SO_KEEPALIVE,
  SO_LINGER,
  SO_PROTOCOL,
  SO_RCVBUF,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SO_SNDBUF,
  SO_TYPE,
  SOCK_DGRAM,
  SOCK_STREAM,
  Socket,
  type SocketOption,
  SOL_SOCKET,
  TCP_INFO,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
  TCP_NODELAY,
  TCP_USER_TIMEOUT,
} from "berkeley";
import { connected, datagram, families, listening, networkFamilies, receiveAll } from "../support/families.js";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

const booleans: readonly (readonly [SocketOption<boolean, boolean>, number, number])[] = [
  [SO_REUSEADDR, AF_INET, SOCK_STREAM],
  [SO_REUSEPORT, AF_INET, SOCK_STREAM],
  [SO_KEEPALIVE, AF_INET, SOCK_STREAM],
  [SO_BROADCAST, AF_INET, SOCK_DGRAM],
  [TCP_NODELAY, AF_INET, SOCK_STREAM],
  [TCP_NODELAY, AF_INET6, SOCK_STREAM],
  [IPV6_V6ONLY, AF_INET6, SOCK_STREAM],
];

for (const [option, family, type] of booleans) {
  test(`${option.name} of family ${family} is set, and read back as true or false`, () => {
    const socket = new Socket(family, type);
    for (const value of [true, false, true]) {
      socket.setsockopt(option, value);
      assert.equal(socket.getsockopt(option), value);
      assert.equal(socket.getsockopt(option.level, option.optname), value ? 1 : 0);
    }
    socket.close();
  });
}

const numbers: readonly (readonly [SocketOption<number, number>, number, readonly number[]])[] = [
  [TCP_KEEPIDLE, AF_INET, [1, 77, 32767]],
  [TCP_KEEPINTVL, AF_INET, [1, 77, 32767]],
  [TCP_KEEPCNT, AF_INET, [1, 7, 127]],
  [TCP_USER_TIMEOUT, AF_INET, [0, 1, 30_000]],
  [IP_TOS, AF_INET, [0, 0x10, 0xb8]],
  [IP_TTL, AF_INET, [1, 64, 255]],
];

for (const [option, family, values] of numbers) {
  test(`${option.name} is set, and read back as the same number`, () => {
    const socket = new Socket(family, SOCK_STREAM);
    for (const value of values) {
      socket.setsockopt(option, value);
      assert.equal(socket.getsockopt(option), value);
    }
    socket.close();
  });
}

for (const option of [SO_RCVBUF, SO_SNDBUF]) {
  test(`${option.name} is doubled by the kernel, for its own use`, () => {
    const socket = new Socket();
    socket.setsockopt(option, 50_000);
    assert.equal(socket.getsockopt(option), 100_000);
    socket.close();
  });
}

test("SO_LINGER is off, or a number of seconds, 0 among them", () => {
  const socket = new Socket();
  assert.equal(socket.getsockopt(SO_LINGER), null);
  for (const value of [0, 1, 30, null, 5]) {
    socket.setsockopt(SO_LINGER, value);
    assert.equal(socket.getsockopt(SO_LINGER), value);
  }
  socket.setsockopt(SO_LINGER, null);
  socket.close();
});

test("SO_TYPE, SO_DOMAIN, SO_PROTOCOL, SO_ACCEPTCONN and SO_ERROR are read", async () => {
  for (const [family, type, protocol] of [
    [AF_INET, SOCK_STREAM, IPPROTO_TCP],
    [AF_INET6, SOCK_DGRAM, IPPROTO_UDP],
    [AF_UNIX, SOCK_STREAM, 0],
  ] as const) {
    const socket = new Socket(family, type);
    assert.equal(socket.getsockopt(SO_DOMAIN), family);
    assert.equal(socket.getsockopt(SO_TYPE), type);
    assert.equal(socket.getsockopt(SO_PROTOCOL), protocol);
    assert.equal(socket.getsockopt(SO_ERROR), null);
    assert.equal(socket.getsockopt(SO_ACCEPTCONN), false);
    socket.close();
  }
  await using server = await listening();
  assert.equal(server.getsockopt(SO_ACCEPTCONN), true);
});

test("the raw forms take numbers and bytes, and give numbers and bytes", () => {
  const socket = new Socket();
  socket.setsockopt(SOL_SOCKET, SO_KEEPALIVE, 1);
  assert.equal(socket.getsockopt(SO_KEEPALIVE), true);
  socket.setsockopt(SOL_SOCKET, SO_KEEPALIVE.optname, new Uint8Array(4));
  assert.equal(socket.getsockopt(SOL_SOCKET, SO_KEEPALIVE.optname), 0);
  socket.setsockopt(IPPROTO_IP, IP_TOS, 0x10);
  assert.equal(socket.getsockopt(IPPROTO_IP, IP_TOS), 0x10);
  const linger = socket.getsockopt(SOL_SOCKET, SO_LINGER, 8);
  assert.ok(Buffer.isBuffer(linger));
  assert.deepEqual([...linger], [0, 0, 0, 0, 0, 0, 0, 0]);
  assert.equal(socket.getsockopt(SOL_SOCKET, SO_LINGER, 100).length, 8, "as many bytes as the kernel had");
  assert.equal(socket.getsockopt(SOL_SOCKET, SO_TYPE, 2).length, 2, "and no more than there was room for");
  assert.equal(socket.getsockopt(SOL_SOCKET, SO_TYPE, 0).length, 0);
  socket.close();
});

test("an option without a value that is a number says so, and gives its bytes", () => {
  const socket = new Socket();
  const SO_BINDTODEVICE = 25;
  assert.throws(() => socket.getsockopt(SOL_SOCKET, SO_BINDTODEVICE), RangeError);
  assert.equal(socket.getsockopt(SOL_SOCKET, SO_BINDTODEVICE, 16).length, 0);
  socket.close();
});

test("options that the kernel does not support for a socket are refused with the kernel's errno", () => {
  const socket = new Socket(AF_UNIX, SOCK_STREAM);
  assert.throws(() => socket.setsockopt(TCP_NODELAY, true), { code: "EOPNOTSUPP", syscall: "setsockopt" });
  assert.throws(() => socket.getsockopt(TCP_INFO), { code: "EOPNOTSUPP", syscall: "getsockopt" });
  socket.close();
  const udp = new Socket(AF_INET, SOCK_DGRAM);
  assert.throws(() => udp.setsockopt(TCP_NODELAY, true), { code: "ENOPROTOOPT" });
  assert.throws(() => udp.setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, 1), { code: "ENOPROTOOPT" });
  udp.close();
});

test("with SO_REUSEADDR a port that a connection still has can be bound", async () => {
  await using server = new Socket();
  server.setsockopt(SO_REUSEADDR, true);
  await server.bind("127.0.0.1:0");
  server.listen();
  const address = server.getsockname();
  await using client = new Socket();
  await client.connect(address);
  const [conn] = await server.accept();
  server.close();
  // The side that finishes first keeps the port in TIME_WAIT.
  conn.shutdown(SHUT_WR);
  await client.recv(1);
  client.close();
  await conn.recv(1);
  conn.close();
  await using again = new Socket();
  await assert.rejects(again.bind(address), { code: "EADDRINUSE" });
  again.setsockopt(SO_REUSEADDR, true);
  await again.bind(address);
});

test("with SO_REUSEPORT two sockets can have the same port", async () => {
  await using one = new Socket(AF_INET, SOCK_DGRAM);
  await using two = new Socket(AF_INET, SOCK_DGRAM);
  for (const socket of [one, two]) socket.setsockopt(SO_REUSEPORT, true);
  await one.bind("127.0.0.1:0");
  await two.bind(one.getsockname());
  assert.deepEqual(two.getsockname(), one.getsockname());
});

test("IPV6_V6ONLY decides whether IPv4 comes in, as a mapped address", async () => {
  await using server = new Socket(AF_INET6, SOCK_STREAM);
  server.setsockopt(IPV6_V6ONLY, false);
  await server.bind(["", 0]);
  server.listen();
  const { port } = server.getsockname();
  await using client = new Socket();
  await client.connect(["127.0.0.1", port]);
  const [conn, peer] = await server.accept();
  conn.close();
  assert.ok(peer instanceof Inet6Address);
  assert.equal(peer.host, "::ffff:127.0.0.1");
  await using only = new Socket(AF_INET6, SOCK_STREAM);
  only.setsockopt(IPV6_V6ONLY, true);
  await only.bind(["", 0]);
  only.listen();
  await using refused = new Socket();
  await assert.rejects(refused.connect(["127.0.0.1", only.getsockname().port]), {
    code: "ECONNREFUSED",
  });
});

for (const family of networkFamilies) {
  test(`TCP_INFO over ${family.name} follows a connection`, async () => {
    await using both = await connected(family);
    const listener = both.server.getsockopt(TCP_INFO);
    assert.equal(listener.tcpi_state, "LISTEN");
    const before = both.client.getsockopt(TCP_INFO);
    assert.equal(before.tcpi_state, "ESTABLISHED");
    assert.equal(before.tcpi_bytes_received, 0);

    const total = 300_000;
    const sending = both.client.sendAll(Buffer.alloc(total)).then(() => both.client.shutdown(SHUT_WR));
    assert.equal((await receiveAll(both.conn)).length, total);
    await sending;
    // What comes back acknowledges everything.
    await both.conn.sendAll("had it all");
    await both.client.recv(100);
    const receiver = both.conn.getsockopt(TCP_INFO);
    assert.equal(receiver.tcpi_bytes_received, total + 1, "FIN counts for one");
    assert.ok(receiver.tcpi_segs_in > 0 && receiver.tcpi_data_segs_in > 0);
    assert.ok(receiver.tcpi_rcv_mss > 0 && receiver.tcpi_rcv_space > 0);
    assert.equal(receiver.tcpi_state, "CLOSE_WAIT");

    const sender = both.client.getsockopt(TCP_INFO);
    assert.match(sender.tcpi_state, /^FIN_WAIT[12]$/);
    assert.ok(sender.tcpi_rtt > 0 && sender.tcpi_rtt < 1_000_000, `rtt ${sender.tcpi_rtt} us`);
    assert.ok(sender.tcpi_min_rtt <= sender.tcpi_rtt + 4 * sender.tcpi_rttvar);
    assert.ok(sender.tcpi_rto >= 200_000 && sender.tcpi_rto < 10_000_000, `rto ${sender.tcpi_rto} us`);
    assert.ok(sender.tcpi_snd_mss > 500 && sender.tcpi_snd_mss <= 65_535);
    assert.ok(sender.tcpi_pmtu >= sender.tcpi_snd_mss);
    assert.ok(sender.tcpi_snd_cwnd > 0);
    assert.ok(sender.tcpi_bytes_acked >= total);
    assert.equal(sender.tcpi_notsent_bytes, 0);
    // On a busy machine an acknowledgement may be late, and the kernel sends a segment once more to ask for it (RFC
    // 8985, TLP).
    const again = sender.tcpi_bytes_retrans ?? 0;
    assert.equal(sender.tcpi_total_retrans === 0, again === 0);
    assert.ok(sender.tcpi_snd_wscale <= 14 && sender.tcpi_rcv_wscale <= 14);
    assert.equal(typeof sender.tcpi_delivery_rate_app_limited, "boolean");
    assert.ok(sender.tcpi_delivery_rate > 0);
    assert.equal(sender.tcpi_max_pacing_rate, Infinity);
    assert.equal(sender.tcpi_bytes_sent! - again, total);
    for (const [name, value] of Object.entries(sender)) {
      if (typeof value === "number") assert.ok(value >= 0, `${name} is ${value}`);
    }
  });
}

test("TCP_INFO of a listener counts the connections in the accept queue", async () => {
  await using server = await listening(undefined, 7);
  const clients = [new Socket(), new Socket(), new Socket()];
  for (const client of clients) await client.connect(server.getsockname());
  const info = server.getsockopt(TCP_INFO);
  assert.equal(info.tcpi_unacked, 3);
  assert.equal(info.tcpi_sacked, 7);
  for (const client of clients) client.close();
});

test("the buffers that are set are the buffers that there are", async () => {
  await using small = await datagram(families[0]);
  await using sender = await datagram(families[0]);
  small.setsockopt(SO_RCVBUF, 4096);
  for (let i = 0; i < 100; i++) await sender.sendto(Buffer.alloc(1000), small.getsockname());
  let count = 0;
  while (
    await small.recv(1000, { timeout: 0 }).then(
      () => true,
      () => false,
    )
  )
    count++;
  assert.ok(count > 0 && count < 20, `${count} datagrams fitted into 4 KiB`);
});
