// Calls that the kernel refuses with EAGAIN although the socket is writable, so that no event follows: no free port,
// and the full queue of a receiver. It runs as root in a network namespace of its own.
//
//   refusedScenes.js awaitable|sync        prints a line for each call

import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import type * as awaitable from "berkeley";
import {
  AF_INET,
  AF_INET6,
  AF_NETLINK,
  AF_UNIX,
  connectUdp,
  DatagramBatch,
  MSG_DONTWAIT,
  NETLINK_USERSOCK,
  type Socket as AwaitableSocket,
  SOCK_DGRAM,
  SOCK_RAW,
} from "berkeley";

const kind = process.argv[2];
const { Socket } = (await import(kind === "sync" ? "berkeley/sync" : "berkeley")) as typeof awaitable;

const first = 40_000;
const last = 40_003;

function must(command: string, args: readonly string[]): void {
  const { status, stderr } = spawnSync(command, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${command}: ${stderr}`);
}

async function codeOf(call: () => unknown): Promise<string> {
  try {
    await call();
    return "none";
  } catch (error) {
    return String((error as { code: unknown }).code);
  }
}

/**
 * Makes a call that is refused: with a timeout, with MSG_DONTWAIT where it takes flags, and once more with `end`, which
 * ends the refusal meanwhile. The blocking socket gets a process that does it.
 */
async function scene(
  name: string,
  call: (opts: { timeout: number; flags?: number }) => unknown,
  takesFlags: boolean,
  end: () => void,
): Promise<void> {
  const began = process.cpuUsage();
  const late = await codeOf(() => call({ timeout: 200 }));
  const { user, system } = process.cpuUsage(began);
  const atOnce = takesFlags ? await codeOf(() => call({ timeout: 5_000, flags: MSG_DONTWAIT })) : "EAGAIN";
  let after: Promise<string> | string;
  if (kind === "sync") {
    end();
    after = await codeOf(() => call({ timeout: 5_000 }));
  } else {
    const waiting = codeOf(() => call({ timeout: 5_000 }));
    setTimeout(end, 50);
    after = await waiting;
  }
  const spun = user + system > 150_000 ? "spun" : "slept";
  console.log(`${name}: ${late} ${spun}, ${atOnce}, ${after}`);
}

async function ports(family: number, any: string, target: string): Promise<void> {
  const name = family === AF_INET ? "IPv4" : "IPv6";
  const holders: AwaitableSocket[] = [];
  const take = async (port: number): Promise<AwaitableSocket> => {
    const holder = new Socket(family, SOCK_DGRAM);
    await holder.bind([any, port]);
    return holder;
  };
  for (let port = first; port <= last; port++) holders.push(await take(port));
  const calls: Record<string, (socket: AwaitableSocket, opts: { timeout: number; flags?: number }) => unknown> = {
    connect: (socket, opts) => socket.connect([target, 9], opts),
    sendto: (socket, opts) => socket.sendto("x", [target, 9], opts),
    sendmsg: (socket, opts) => socket.sendmsg("x", { ...opts, address: [target, 9] }),
    sendSegments: (socket, opts) => socket.sendSegments("xyz", 1, { ...opts, address: [target, 9] }),
    sendmmsg: (socket, opts) => {
      const batch = new DatagramBatch({ capacity: 2 });
      for (let i = 0; i < 2; i++) batch.add("x", [target, 9]);
      return socket.sendmmsg(batch, opts);
    },
  };
  for (const [call, make] of Object.entries(calls)) {
    const socket = new Socket(family, SOCK_DGRAM);
    await scene(
      `${call} ${name}`,
      (opts) => make(socket, opts),
      call !== "connect",
      () => holders.pop()!.close(),
    );
    socket.close();
    holders.push(await take(last));
  }
  if (kind !== "sync") {
    const url = family === AF_INET ? "udp://127.0.0.1:9" : "udp://[::1]:9";
    await scene(
      `connectUdp ${name}`,
      async (opts) => (await connectUdp(url, opts)).close(),
      false,
      () => holders.pop()!.close(),
    );
  }
  for (const holder of holders) holder.close();
}

async function netlink(): Promise<void> {
  const receiver = new Socket(AF_NETLINK, SOCK_RAW, NETLINK_USERSOCK);
  await receiver.bind({ family: AF_NETLINK, pid: 0, groups: 0 });
  const to = receiver.getsockname();
  const sender = new Socket(AF_NETLINK, SOCK_RAW, NETLINK_USERSOCK);
  const data = Buffer.alloc(1000);
  const fill = async (): Promise<void> => {
    while ((await codeOf(() => sender.sendto(data, to, { flags: MSG_DONTWAIT }))) === "none");
  };
  await fill();
  const drain = (): void => {
    while (receiver.tryRecv(1000) !== undefined);
  };
  await scene("sendto NETLINK_USERSOCK", (opts) => sender.sendto(data, to, opts), true, drain);
  await fill();
  await sender.connect(to);
  await scene("send NETLINK_USERSOCK", (opts) => sender.send(data, opts), true, drain);
  receiver.close();
  sender.close();
}

async function unix(): Promise<void> {
  const receiver = new Socket(AF_UNIX, SOCK_DGRAM);
  await receiver.bind("");
  const to = receiver.getsockname();
  const sender = new Socket(AF_UNIX, SOCK_DGRAM);
  while ((await codeOf(() => sender.sendto("x", to, { flags: MSG_DONTWAIT }))) === "none");
  await scene(
    "sendto UNIX",
    (opts) => sender.sendto("x", to, opts),
    true,
    () => {
      while (receiver.tryRecv(10) !== undefined);
    },
  );
  receiver.close();
  sender.close();
  const server = new Socket(AF_UNIX);
  await server.bind("");
  server.listen(0);
  const one = new Socket(AF_UNIX);
  await one.connect(server.getsockname());
  const two = new Socket(AF_UNIX);
  await scene(
    "connect UNIX",
    (opts) => two.connect(server.getsockname(), opts),
    false,
    () => {
      if (kind === "sync") (server.accept() as unknown as [AwaitableSocket])[0].close();
      else void server.accept().then(([conn]) => conn.close());
    },
  );
  for (const socket of [server, one, two]) socket.close();
}

must("ip", ["link", "set", "lo", "up"]);
writeFileSync("/proc/sys/net/ipv4/ip_local_port_range", `${first} ${last}`);
await ports(AF_INET, "0.0.0.0", "127.0.0.1");
await ports(AF_INET6, "::", "::1");
await netlink();
await unix();
