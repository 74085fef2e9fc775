// Control data of the kernel, each kind: sent, received, or both.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import {
  AF_INET,
  AF_INET6,
  AF_NETLINK,
  AF_UNIX,
  CMSG_SPACE,
  type ControlMessage,
  type ControlToSend,
  type Inet6Address,
  type InetAddress,
  IP_PKTINFO,
  IP_RECVORIGDSTADDR,
  IP_RECVTOS,
  IP_RECVTTL,
  IPV6_FLOWINFO,
  IPV6_RECVHOPLIMIT,
  IPV6_RECVPKTINFO,
  IPV6_RECVTCLASS,
  MSG_ERRQUEUE,
  MSG_PEEK,
  NETLINK_PKTINFO,
  NETLINK_ROUTE,
  SO_MARK,
  SO_PASSCRED,
  SO_PASSPIDFD,
  SO_RCVBUF,
  SO_RCVMARK,
  SO_RXQ_OVFL,
  SO_TIMESTAMP,
  SO_TIMESTAMPING,
  SO_TIMESTAMPNS,
  SOCK_DGRAM,
  SOCK_STREAM,
  Socket,
  type SocketError,
  type SocketOption,
  socketpair,
  SOF_TIMESTAMPING_RX_SOFTWARE,
  SOF_TIMESTAMPING_SOFTWARE,
  SOF_TIMESTAMPING_TX_SOFTWARE,
  SOL_NETLINK,
  SOL_SOCKET,
  TCP_INQ,
  UDP_GRO,
} from "berkeley";
import { checkLeaks, openDescriptors } from "../../support/leaks.js";
import { closing, only, tcpPair, udpPair } from "./support.js";

checkLeaks();

const lo = 1;

test("IP_PKTINFO has the interface at which a packet arrived, and selects the one for sending", async () => {
  await using receiver = new Socket(AF_INET, SOCK_DGRAM);
  await receiver.bind("0.0.0.0:0");
  receiver.setsockopt(IP_PKTINFO, true);
  const { port } = receiver.getsockname();
  await using sender = new Socket(AF_INET, SOCK_DGRAM);
  await sender.bind("0.0.0.0:0");
  await sender.sendmsg("from elsewhere", {
    address: ["127.0.0.5", port],
    control: [{ type: "IP_PKTINFO", spec_dst: "127.0.0.9" }],
  });
  const message = await receiver.recvmsg(100);
  assert.equal((message.address as InetAddress).host, "127.0.0.9");
  const pktinfo = only(message.control, "IP_PKTINFO");
  assert.deepEqual(pktinfo, { type: "IP_PKTINFO", ifindex: lo, spec_dst: "127.0.0.5", addr: "127.0.0.5" });
  // With the received control message in the answer, the answer comes from the destination address of the request.
  await receiver.sendmsg("answer", { address: message.address!, control: [pktinfo] });
  const [answer, from] = await sender.recvfrom(100);
  assert.equal(answer.toString(), "answer");
  assert.equal(from.host, "127.0.0.5");
});

test("IPV6_PKTINFO has the interface at which a packet arrived, and selects the one for sending", async () => {
  await using pair = await udpPair(AF_INET6);
  const [receiver, sender] = pair;
  receiver.setsockopt(IPV6_RECVPKTINFO, true);
  await sender.sendmsg("x", { control: [{ type: "IPV6_PKTINFO", addr: "::1", ifindex: lo }] });
  const message = await receiver.recvmsg(100);
  assert.deepEqual(only(message.control, "IPV6_PKTINFO"), { type: "IPV6_PKTINFO", addr: "::1", ifindex: lo });
  await sender.sendmsg("x", { control: [{ type: "IPV6_PKTINFO", ifindex: "lo" }] });
  assert.deepEqual(only((await receiver.recvmsg(100)).control, "IPV6_PKTINFO"), only(message.control, "IPV6_PKTINFO"));
  const unknown = sender.sendmsg("x", { control: [{ type: "IPV6_PKTINFO", ifindex: "no-such-if" }] });
  await assert.rejects(unknown, { code: "ENODEV" });
  await assert.rejects(sender.sendmsg("x", { control: [{ type: "IPV6_PKTINFO", addr: "::2" }] }), { code: "EINVAL" });
});

test("a packet carries IP_TTL and IP_TOS, and DSCP and ECN are separate", async () => {
  await using pair = await udpPair();
  const [receiver, sender] = pair;
  receiver.setsockopt(IP_RECVTTL, true);
  receiver.setsockopt(IP_RECVTOS, true);
  await sender.sendmsg("x", {
    control: [
      { type: "IP_TTL", ttl: 7 },
      { type: "IP_TOS", tos: (46 << 2) | 2 },
    ],
  });
  const { control } = await receiver.recvmsg(100);
  assert.deepEqual(only(control, "IP_TTL"), { type: "IP_TTL", ttl: 7 });
  assert.deepEqual(only(control, "IP_TOS"), { type: "IP_TOS", tos: 186, dscp: 46, ecn: 2 });
});

test("IPV6_HOPLIMIT, IPV6_TCLASS and IPV6_FLOWINFO go with a packet", async () => {
  await using pair = await udpPair(AF_INET6);
  const [receiver, sender] = pair;
  receiver.setsockopt(IPV6_RECVHOPLIMIT, true);
  receiver.setsockopt(IPV6_RECVTCLASS, true);
  receiver.setsockopt(IPV6_FLOWINFO, true);
  await sender.sendmsg("x", {
    control: [
      { type: "IPV6_HOPLIMIT", hoplimit: 9 },
      { type: "IPV6_TCLASS", tclass: 1 },
    ],
  });
  const { control } = await receiver.recvmsg(100);
  assert.deepEqual(only(control, "IPV6_HOPLIMIT"), { type: "IPV6_HOPLIMIT", hoplimit: 9 });
  assert.deepEqual(only(control, "IPV6_TCLASS"), { type: "IPV6_TCLASS", tclass: 1, dscp: 0, ecn: 1 });
  // The traffic class is the upper part of what comes after the version.
  assert.equal(only(control, "IPV6_FLOWINFO").flowinfo >>> 20, 1);
});

test("IP_ORIGDSTADDR has the destination with its port", async () => {
  await using pair = await udpPair();
  const [receiver, sender] = pair;
  receiver.setsockopt(IP_RECVORIGDSTADDR, true);
  await sender.send("x");
  const { control } = await receiver.recvmsg(100);
  assert.deepEqual(only(control, "IP_ORIGDSTADDR").address, receiver.getsockname());
});

/** Seconds between a time stamp and now. */
function age(seconds: number): number {
  return Math.abs(Date.now() / 1000 - seconds);
}

test("SO_TIMESTAMP, SO_TIMESTAMPNS and SO_TIMESTAMPING have the time at which a packet arrived", async () => {
  await using pair = await udpPair();
  const [receiver, sender] = pair;
  receiver.setsockopt(SO_TIMESTAMP, true);
  await sender.send("x");
  const micro = only((await receiver.recvmsg(100)).control, "SO_TIMESTAMP");
  assert.ok(age(micro.tv_sec) < 60 && micro.tv_usec >= 0 && micro.tv_usec < 1e6);
  receiver.setsockopt(SO_TIMESTAMP, false);
  receiver.setsockopt(SO_TIMESTAMPNS, true);
  await sender.send("x");
  const nano = only((await receiver.recvmsg(100)).control, "SO_TIMESTAMPNS");
  assert.ok(age(nano.tv_sec) < 60 && nano.tv_nsec >= 0 && nano.tv_nsec < 1e9);
  receiver.setsockopt(SO_TIMESTAMPNS, false);
  receiver.setsockopt(SO_TIMESTAMPING, SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE);
  // The kernel begins to stamp packets a moment after the first socket has asked for it (net_enable_timestamp in
  // net/core/dev.c leaves that to a work queue), and this stamp, unlike the two above, is not made up later.
  let stamped: readonly ControlMessage[] = [];
  const end = performance.now() + 10_000;
  while (stamped.length === 0 && performance.now() < end) {
    await sender.send("x");
    stamped = (await receiver.recvmsg(100)).control;
  }
  const { ts } = only(stamped, "SCM_TIMESTAMPING");
  assert.ok(age(ts[0].tv_sec) < 60);
  assert.deepEqual(ts[2], { tv_sec: 0, tv_nsec: 0 });
});

test("SCM_TIMESTAMPING in the error queue has the time at which a packet was sent", async () => {
  await using pair = await udpPair();
  const [receiver, sender] = pair;
  sender.setsockopt(SO_TIMESTAMPING, SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE);
  const stamped = sender.recvmsg(100, { flags: MSG_ERRQUEUE });
  await sender.send("stamped");
  const { control } = await stamped;
  assert.ok(age(only(control, "SCM_TIMESTAMPING").ts[0].tv_sec) < 60);
  assert.equal(only(control, "IP_RECVERR").code, "ENOMSG");
  assert.equal((await receiver.recv(100)).toString(), "stamped");
});

test("SO_RXQ_OVFL counts dropped datagrams", async () => {
  await using pair = await udpPair();
  const [receiver, sender] = pair;
  receiver.setsockopt(SO_RXQ_OVFL, true);
  receiver.setsockopt(SO_RCVBUF, 0);
  const count = 200;
  for (let i = 0; i < count; i++) await sender.send(Buffer.alloc(1000));
  let received = 0;
  for (;;) {
    const message = await receiver.recvmsg(2000, { timeout: 20 }).catch(() => undefined);
    if (message === undefined) break;
    received++;
  }
  await sender.send("one more");
  // On a busy machine the kernel may deliver some of the others only now.
  let last = await receiver.recvmsg(2000);
  for (; last.data.length === 1000; last = await receiver.recvmsg(2000)) received++;
  assert.ok(received > 0 && received < count);
  assert.equal(only(last.control, "SO_RXQ_OVFL").dropped, count - received);
});

/** Sets an option; false where this kernel is too old to have it. */
function has(socket: Socket, option: SocketOption<boolean, boolean>): boolean {
  try {
    socket.setsockopt(option, true);
    return true;
  } catch (error) {
    assert.equal((error as SocketError).code, "ENOPROTOOPT");
    return false;
  }
}

test("a packet carries SO_MARK where that is permitted", async (t) => {
  await using pair = await udpPair();
  const [receiver, sender] = pair;
  const control: ControlToSend[] = [{ type: "SO_MARK", mark: 0x8000_0007 }];
  if (process.getuid!() !== 0) {
    await assert.rejects(sender.sendmsg("x", { control }), { code: "EPERM" });
    return;
  }
  if (!has(receiver, SO_RCVMARK)) return t.skip("SO_RCVMARK came with Linux 5.19");
  await sender.sendmsg("x", { control });
  assert.equal(only((await receiver.recvmsg(100)).control, "SO_MARK").mark, 0x8000_0007);
  assert.equal(sender.getsockopt(SO_MARK), 0);
});

test("UDP_SEGMENT cuts a message into datagrams, and UDP_GRO joins them", async () => {
  await using pair = await udpPair();
  const [receiver, sender] = pair;
  const data = Buffer.from(Array.from({ length: 2500 }, (_, index) => index & 255));
  const control: ControlToSend[] = [{ type: "UDP_SEGMENT", gso_size: 1000 }];
  assert.equal(await sender.sendmsg(data, { control }), 2500);
  const parts: Buffer[] = [];
  for (let i = 0; i < 3; i++) parts.push((await receiver.recvmsg(5000)).data);
  assert.deepEqual(
    parts.map((part) => part.length),
    [1000, 1000, 500],
  );
  assert.deepEqual(Buffer.concat(parts), data);

  receiver.setsockopt(UDP_GRO, true);
  await sender.sendmsg(data, { control });
  const joined = await receiver.recvmsg(65_536);
  assert.equal(only(joined.control, "UDP_GRO").gso_size, 1000);
  assert.deepEqual(joined.data, data);
  assert.equal(joined.truncated, false);
});

test("TCP_INQ has the number of unread bytes", async () => {
  await using pair = await tcpPair();
  const [accepted, client] = pair;
  accepted.setsockopt(TCP_INQ, true);
  await client.sendAll("0123456789");
  const message = await accepted.recvmsg(4);
  assert.equal(message.data.toString(), "0123");
  assert.equal(only(message.control, "TCP_INQ").inq, 6);
});

test("SCM_CREDENTIALS has the sender of a message", async () => {
  for (const type of [SOCK_STREAM, SOCK_DGRAM]) {
    await using pair = closing(socketpair(AF_UNIX, type));
    const [left, right] = pair;
    right.setsockopt(SO_PASSCRED, true);
    const mine = { type: "SCM_CREDENTIALS", pid: process.pid, uid: process.getuid!(), gid: process.getgid!() } as const;
    await left.sendmsg("unasked");
    const opts = { controlSize: CMSG_SPACE(12) };
    assert.deepEqual(only((await right.recvmsg(100, opts)).control, "SCM_CREDENTIALS"), mine);
    await left.sendmsg("given", { control: [{ type: "SCM_CREDENTIALS" }] });
    assert.deepEqual(only((await right.recvmsg(100, opts)).control, "SCM_CREDENTIALS"), mine);
    const other: ControlToSend[] = [{ type: "SCM_CREDENTIALS", uid: 12_345 }];
    if (process.getuid!() !== 0) {
      await assert.rejects(left.sendmsg("forged", { control: other }), { code: "EPERM" });
    } else {
      await left.sendmsg("allowed", { control: other });
      assert.equal(only((await right.recvmsg(100, opts)).control, "SCM_CREDENTIALS").uid, 12_345);
    }
  }
});

test("SCM_PIDFD is a descriptor, and closed with its message", async (t) => {
  await using pair = closing(socketpair(AF_UNIX, SOCK_DGRAM));
  const [left, right] = pair;
  if (!has(right, SO_PASSPIDFD)) return t.skip("SO_PASSPIDFD came with Linux 6.5");
  await left.send("x");
  const before = openDescriptors().size;
  {
    using message = await right.recvmsg(100, { controlSize: 128 });
    const { pidfd } = only(message.control, "SCM_PIDFD");
    assert.equal(pidfd.length, 1);
    assert.match(readFileSync(`/proc/self/fdinfo/${pidfd.fds[0]}`, "utf8"), new RegExp(`Pid:\\s*${process.pid}\\b`));
    assert.equal(openDescriptors().size, before + 1);
  }
  assert.equal(openDescriptors().size, before);
});

test("control data of an unknown kind come as they are", async () => {
  await using socket = new Socket(AF_NETLINK, SOCK_DGRAM, NETLINK_ROUTE);
  socket.setsockopt(NETLINK_PKTINFO, true);
  // A request of no kind: struct nlmsghdr with 16 bytes, a type that there is not, and NLM_F_REQUEST.
  const request = new Uint32Array([16, 0, 1, 0]);
  new Uint16Array(request.buffer).set([0xfff0, 1], 2);
  await socket.sendmsg(Buffer.from(request.buffer), { address: { pid: 0, groups: 0 } });
  const { control } = await socket.recvmsg(1000);
  const group = new Uint8Array(new Uint32Array([0]).buffer);
  assert.deepEqual(control, [{ level: SOL_NETLINK, type: NETLINK_PKTINFO.optname, data: group }]);
  await assert.rejects(socket.sendmsg("x", { control: [{ level: SOL_SOCKET, type: 4711, data: group }] }), {
    code: "EINVAL",
  });
});

test("control data for which there is no room are cut, and recvmsg() says so", async () => {
  await using pair = await udpPair();
  const [receiver, sender] = pair;
  receiver.setsockopt(IP_RECVTTL, true);
  receiver.setsockopt(SO_TIMESTAMPNS, true);
  for (const controlSize of [0, 1, 15, 16, 20, CMSG_SPACE(16), CMSG_SPACE(16) + 16, CMSG_SPACE(16) + CMSG_SPACE(4)]) {
    await sender.sendmsg("whole");
    const message = await receiver.recvmsg(100, { controlSize, flags: MSG_PEEK });
    assert.equal(
      message.controlTruncated,
      controlSize < CMSG_SPACE(16) + CMSG_SPACE(4),
      `${controlSize} bytes of room`,
    );
    assert.equal(message.truncated, false);
    const again = await receiver.recvmsg(100, { controlSize: 100 });
    assert.equal(again.data.toString(), "whole");
    assert.equal(again.controlTruncated, false);
    assert.equal(again.control.length, 2);
  }
});

test("IPv6 sockets that serve IPv4 as well get the control data of both", async () => {
  await using receiver = new Socket(AF_INET6, SOCK_DGRAM);
  await receiver.bind(["::", 0]);
  receiver.setsockopt(IPV6_RECVPKTINFO, true);
  const { port } = receiver.getsockname();
  await using sender = new Socket(AF_INET, SOCK_DGRAM);
  await sender.sendto("x", ["127.0.0.1", port]);
  const message = await receiver.recvmsg(100);
  assert.equal((message.address as Inet6Address).host, "::ffff:127.0.0.1");
  assert.equal(only(message.control, "IPV6_PKTINFO").addr, "::ffff:127.0.0.1");
});
