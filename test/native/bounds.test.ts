// Calls for which the kernel reads a length from the bytes: nothing outside the view is written, for any bytes.

import assert from "node:assert/strict";
import { test } from "node:test";
import { MCAST_JOIN_SOURCE_GROUP, Socket } from "berkeley";
import { addon } from "#berkeley/sys/addon.js";
import {
  AF_INET,
  AF_UNIX,
  IP_MSFILTER,
  IPPROTO_IP,
  IPPROTO_TCP,
  MCAST_MSFILTER,
  SIZEOF_SIZE_T,
  SOCK_DGRAM,
  SOCK_STREAM,
  TCP_ZEROCOPY_RECEIVE,
} from "#berkeley/sys/constants.js";
import { check, EFAULT, EINVAL } from "#berkeley/sys/errno.js";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

const GROUP = [239, 1, 2, 3];
const FILL = 0xee;

/** Memory with a room of `size` bytes in it, and how many bytes outside the room have changed. */
function guarded(size: number): { room: Uint8Array; touched: () => number } {
  const memory = new Uint8Array(size + 4096).fill(FILL);
  const room = memory.subarray(1024, 1024 + size).fill(0);
  return {
    room,
    touched: () => memory.filter((byte, at) => (at < 1024 || at >= 1024 + size) && byte !== FILL).length,
  };
}

async function withSources(body: (fd: number) => void): Promise<void> {
  await using socket = new Socket(AF_INET, SOCK_DGRAM);
  for (let last = 1; last <= 10; last++) {
    socket.setsockopt(MCAST_JOIN_SOURCE_GROUP, { group: GROUP.join("."), interface: "lo", source: `10.0.0.${last}` });
  }
  body(socket.fileno());
}

test("getsockopt() refuses an IP_MSFILTER that counts more sources than its room holds, and fills one that does not", async () => {
  await withSources((fd) => {
    for (const [sources, expected] of [
      [100, EINVAL],
      [4, EINVAL],
      [3, 16 + 4 * 3],
      [0, 16],
    ] as const) {
      const { room, touched } = guarded(16 + 4 * 3);
      room.set(GROUP, 0);
      room.set([127, 0, 0, 1], 4);
      new Uint32Array(room.buffer, room.byteOffset + 12, 1)[0] = sources;
      assert.equal(addon.getsockopt(fd, IPPROTO_IP, IP_MSFILTER, room), expected, `${sources} sources`);
      assert.equal(touched(), 0, `${sources} sources`);
    }
  });
});

test("getsockopt() refuses an MCAST_MSFILTER that counts more sources than its room holds, and fills one that does not", async () => {
  await withSources((fd) => {
    const header = SIZEOF_SIZE_T + 136;
    for (const [sources, expected] of [
      [0xffff_ffff, EINVAL],
      [2, EINVAL],
      [1, header + 128],
    ] as const) {
      const { room, touched } = guarded(header + 128);
      new Uint32Array(room.buffer, room.byteOffset, 1)[0] = addon.if_nametoindex("lo");
      new Uint16Array(room.buffer, room.byteOffset + SIZEOF_SIZE_T, 1)[0] = AF_INET;
      room.set(GROUP, SIZEOF_SIZE_T + 4);
      new Uint32Array(room.buffer, room.byteOffset + header - 4, 1)[0] = sources;
      assert.equal(addon.getsockopt(fd, IPPROTO_IP, MCAST_MSFILTER, room), expected, `${sources} sources`);
      assert.equal(touched(), 0, `${sources} sources`);
    }
  });
});

test("getsockopt() follows no address that stands in its room", async () => {
  await using socket = new Socket(AF_INET, SOCK_STREAM);
  for (const at of [0, 24, 40]) {
    const room = new Uint8Array(64);
    room[at + 2] = 1;
    assert.equal(addon.getsockopt(socket.fileno(), IPPROTO_TCP, TCP_ZEROCOPY_RECEIVE, room), EFAULT, `at ${at}`);
  }
});

test("sendmsg() sees a view as it is after the getters of its array have run", () => {
  const pair = new Uint8Array(8);
  check(addon.socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "socketpair");
  const [left, right] = new Int32Array(pair.buffer) as unknown as [number, number];
  const first = new Uint8Array(1 << 16).fill(1);
  const views = [first, first];
  Object.defineProperty(views, 1, {
    get: () => {
      structuredClone(first.buffer, { transfer: [first.buffer] });
      return Uint8Array.of(7, 8);
    },
  });
  assert.equal(addon.sendmsg(left, views, 0, 0, null, null), 2, "the first one is empty by then");
  const received = new Uint8Array(4);
  assert.equal(addon.recv(right, received), 2);
  assert.deepEqual([...received], [7, 8, 0, 0]);
  addon.close(left);
  addon.close(right);
});
