// Control data that the kernel has truncated: complete messages are decoded, and the others are returned as bytes.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  CMSG_SPACE,
  type InetAddress,
  IP_PKTINFO,
  IP_RECVERR,
  IP_RECVORIGDSTADDR,
  IP_RECVTOS,
  IP_RECVTTL,
  IPV6_RECVERR,
  IPV6_RECVHOPLIMIT,
  IPV6_RECVORIGDSTADDR,
  IPV6_RECVPKTINFO,
  IPV6_RECVTCLASS,
  type Message,
  MSG_ERRQUEUE,
  MSG_PEEK,
  SO_PASSCRED,
  SO_RXQ_OVFL,
  SO_TIMESTAMP,
  SO_TIMESTAMPING,
  SO_TIMESTAMPNS,
  SOCK_DGRAM,
  Socket,
  type SocketOption,
  socketpair,
  SOF_TIMESTAMPING_RX_SOFTWARE,
  SOF_TIMESTAMPING_SOFTWARE,
} from "berkeley";
import { Socket as BlockingSocket } from "berkeley/sync";
import { checkLeaks } from "../../support/leaks.js";

checkLeaks();

const MOST = CMSG_SPACE(64);

/** Receives with every size of room; each message is what it is with enough room, or its bytes. */
async function checkCuts(type: string, receive: (controlSize: number) => Promise<Message> | Message): Promise<void> {
  const whole = (await receive(MOST)).control;
  const index = whole.findIndex((message) => message.type === type);
  assert.ok(index >= 0, `${type} is among ${whole.map((message) => String(message.type)).join()}`);
  let raw = 0;
  for (let controlSize = 0; controlSize <= MOST; controlSize++) {
    const { control } = await receive(controlSize);
    const message = control[index];
    if (message === undefined) continue;
    if (typeof message.type === "number") raw++;
    else assert.deepEqual(message, whole[index], `with room for ${controlSize} bytes`);
  }
  // A single byte cannot be cut, only left out.
  assert.ok(raw > 0 || type === "IP_TOS", `${type} was never cut`);
}

const PACKETS: readonly (readonly [type: string, family: number, option: SocketOption<boolean, boolean>])[] = [
  ["IP_TTL", AF_INET, IP_RECVTTL],
  ["IP_TOS", AF_INET, IP_RECVTOS],
  ["IP_PKTINFO", AF_INET, IP_PKTINFO],
  ["IP_ORIGDSTADDR", AF_INET, IP_RECVORIGDSTADDR],
  ["SO_TIMESTAMP", AF_INET, SO_TIMESTAMP],
  ["SO_TIMESTAMPNS", AF_INET, SO_TIMESTAMPNS],
  ["IPV6_HOPLIMIT", AF_INET6, IPV6_RECVHOPLIMIT],
  ["IPV6_TCLASS", AF_INET6, IPV6_RECVTCLASS],
  ["IPV6_PKTINFO", AF_INET6, IPV6_RECVPKTINFO],
  ["IPV6_ORIGDSTADDR", AF_INET6, IPV6_RECVORIGDSTADDR],
];

for (const [type, family, option] of PACKETS) {
  test(`${type} that was cut comes as its bytes, awaited and blocking`, async () => {
    await using receiver = new Socket(family, SOCK_DGRAM);
    await receiver.bind([family === AF_INET ? "127.0.0.1" : "::1", 0]);
    receiver.setsockopt(option, true);
    await using sender = new Socket(family, SOCK_DGRAM);
    await sender.sendto("x", receiver.getsockname());
    await checkCuts(type, (controlSize) => receiver.recvmsg(8, { controlSize, flags: MSG_PEEK }));
    using blocking = BlockingSocket.fromfd(receiver.dup().detach());
    await checkCuts(type, (controlSize) => blocking.recvmsg(8, { controlSize, flags: MSG_PEEK }));
  });
}

test("SCM_TIMESTAMPING that was cut comes as its bytes", async () => {
  await using receiver = new Socket(AF_INET, SOCK_DGRAM);
  await receiver.bind("127.0.0.1:0");
  receiver.setsockopt(SO_TIMESTAMPING, SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE);
  await using sender = new Socket(AF_INET, SOCK_DGRAM);
  // The kernel begins to timestamp packets a moment after the first socket has requested it.
  for (let stamped = false; !stamped;) {
    await sender.sendto("x", receiver.getsockname());
    stamped = (await receiver.recvmsg(8, { controlSize: MOST, flags: MSG_PEEK })).control.length > 0;
    if (!stamped) await receiver.recv(8);
  }
  await checkCuts("SCM_TIMESTAMPING", (controlSize) => receiver.recvmsg(8, { controlSize, flags: MSG_PEEK }));
});

test("SCM_CREDENTIALS that were cut come as their bytes", async () => {
  const [left, right] = socketpair(AF_UNIX, SOCK_DGRAM);
  right.setsockopt(SO_PASSCRED, true);
  await left.send("x");
  await checkCuts("SCM_CREDENTIALS", (controlSize) => right.recvmsg(8, { controlSize, flags: MSG_PEEK }));
  left.close();
  right.close();
});

for (const [type, family, option] of [
  ["IP_RECVERR", AF_INET, IP_RECVERR],
  ["IPV6_RECVERR", AF_INET6, IPV6_RECVERR],
] as const) {
  test(`${type} that was cut comes as its bytes, and never without the address that it had`, async () => {
    const host = family === AF_INET ? "127.0.0.1" : "::1";
    await using gone = new Socket(family, SOCK_DGRAM);
    await gone.bind([host, 0]);
    const { port } = gone.getsockname() as InetAddress;
    gone.close();
    await using socket = new Socket(family, SOCK_DGRAM);
    socket.setsockopt(option, true);
    await checkCuts(type, async (controlSize) => {
      await socket.sendto("x", [host, port]);
      return socket.recvmsg(8, { controlSize, flags: MSG_ERRQUEUE, timeout: 5_000 });
    });
  });
}

test("SO_RXQ_OVFL that was cut comes as its bytes", async () => {
  await using receiver = new Socket(AF_INET, SOCK_DGRAM);
  await receiver.bind("127.0.0.1:0");
  receiver.setsockopt(SO_RXQ_OVFL, true);
  await using sender = new Socket(AF_INET, SOCK_DGRAM);
  // The count comes with a datagram that arrived after others had been dropped.
  for (let sent = 0; sent < 3_000; sent++) await sender.sendto(Buffer.alloc(1_000), receiver.getsockname());
  const drained = (): Promise<boolean> =>
    receiver.recv(8, { timeout: 0 }).then(
      () => false,
      () => true,
    );
  while (!(await drained()));
  await sender.sendto("x", receiver.getsockname());
  await checkCuts("SO_RXQ_OVFL", (controlSize) => receiver.recvmsg(8, { controlSize, flags: MSG_PEEK }));
});
