// Netlink: the list of interfaces, requested from the kernel.
import assert from "node:assert/strict";
import { endianness } from "node:os";
import { test } from "node:test";
import {
  AF_NETLINK,
  MSG_DONTWAIT,
  MSG_PEEK,
  MSG_TRUNC,
  NETLINK_ROUTE,
  NetlinkAddress,
  SOCK_DGRAM,
  SOCK_RAW,
  Socket,
} from "berkeley";
import { checkLeaks } from "../../support/leaks.js";

checkLeaks();

// <linux/netlink.h>, <linux/rtnetlink.h>, <linux/if_link.h>
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLM_F_REQUEST = 1;
const NLM_F_DUMP = 0x300;
const RTM_NEWLINK = 16;
const RTM_GETLINK = 18;
const IFLA_IFNAME = 3;
const NLMSGHDR = 16;
const IFINFOMSG = 16;
const LITTLE = endianness() === "LE";

interface NetlinkMessage {
  readonly type: number;
  readonly sequence: number;
  readonly pid: number;
  readonly payload: Buffer;
}

const u16 = (bytes: Buffer, at: number): number => (LITTLE ? bytes.readUInt16LE(at) : bytes.readUInt16BE(at));
const u32 = (bytes: Buffer, at: number): number => (LITTLE ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at));

function split(bytes: Buffer): NetlinkMessage[] {
  const messages: NetlinkMessage[] = [];
  for (let at = 0; at + NLMSGHDR <= bytes.length;) {
    const length = u32(bytes, at);
    const payload = bytes.subarray(at + NLMSGHDR, at + length);
    messages.push({ type: u16(bytes, at + 4), sequence: u32(bytes, at + 8), pid: u32(bytes, at + 12), payload });
    at += (length + 3) & ~3;
  }
  return messages;
}

function nameOf({ payload }: NetlinkMessage): [index: number, name: string] {
  for (let at = IFINFOMSG; at + 4 <= payload.length;) {
    const length = u16(payload, at);
    if (u16(payload, at + 2) === IFLA_IFNAME)
      return [u32(payload, 4), payload.toString("utf8", at + 4, at + length - 1)];
    at += (length + 3) & ~3;
  }
  throw new Error("a link without a name");
}

function request(type: number, flags: number, sequence: number): Buffer {
  const header = new Uint32Array((NLMSGHDR + IFINFOMSG) / 4);
  header[0] = NLMSGHDR + IFINFOMSG;
  new Uint16Array(header.buffer).set([type, flags], 2);
  header[2] = sequence;
  return Buffer.from(header.buffer);
}

for (const [name, type] of [
  ["SOCK_RAW", SOCK_RAW],
  ["SOCK_DGRAM", SOCK_DGRAM],
] as const) {
  test(`RTM_GETLINK over ${name} lists lo`, async () => {
    await using socket = new Socket(AF_NETLINK, type, NETLINK_ROUTE);
    await socket.bind({ pid: 0, groups: 0 });
    const { pid } = socket.getsockname();
    assert.ok(pid > 0);
    const address = new NetlinkAddress(0, 0);
    assert.equal(await socket.sendmsg(request(RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 77), { address }), 32);
    const links = new Map<number, string>();
    for (let done = false; !done;) {
      const peeked = await socket.recvmsg(0, { flags: MSG_PEEK | MSG_TRUNC });
      const message = await socket.recvmsg(peeked.length);
      assert.equal(message.truncated, false);
      assert.deepEqual(message.address, address);
      for (const one of split(message.data)) {
        assert.equal(one.sequence, 77);
        assert.equal(one.pid, pid);
        if (one.type === NLMSG_DONE) done = true;
        else {
          assert.equal(one.type, RTM_NEWLINK);
          links.set(...nameOf(one));
        }
      }
    }
    assert.equal(links.get(1), "lo");
  });
}

test("a netlink request that the kernel refuses is answered with its errno", async () => {
  await using socket = new Socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
  await socket.connect("netlink:0:0");
  assert.deepEqual(socket.getpeername(), new NetlinkAddress(0, 0));
  await socket.send(request(0xfff0, NLM_F_REQUEST, 1));
  const [answer] = split(await socket.recv(1000));
  assert.equal(answer!.type, NLMSG_ERROR);
  assert.equal(u32(answer!.payload, 0) | 0, -95); // EOPNOTSUPP
  await assert.rejects(socket.recv(1000, { flags: MSG_DONTWAIT }), { code: "EAGAIN" });
});

test("a second netlink socket cannot have the same port", async () => {
  await using one = new Socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
  await one.bind({ pid: 0, groups: 1 });
  const { pid, groups } = one.getsockname();
  assert.equal(groups, 1);
  await using other = new Socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
  await assert.rejects(other.bind({ pid, groups: 0 }), { code: "EADDRINUSE", syscall: "bind" });
});
