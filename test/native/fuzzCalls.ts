// Calls every function of the addon with random arguments for a while. It ends with status 0, unless the addon aborts.
//
//   fuzzCalls.js SEED ROUNDS MARK     writes the file MARK at its end
//
// Arguments that could harm the machine or other programs are left out: no raw packets, only loopback addresses, no
// queries to name servers, no host name, and only descriptors that this program made. The rest is random: types,
// ranges, views that are detached, resizable or shared.

import { appendFileSync, writeFileSync } from "node:fs";
import { addon } from "#berkeley/sys/addon.js";
import { pick, seeded } from "../support/random.js";

const [seedText, roundsText, mark] = process.argv.slice(2);
const random = seeded(Number(seedText));

type Native = (...args: unknown[]) => unknown;
const functions = Object.entries(addon).filter((entry): entry is [string, Native] => typeof entry[1] === "function");

/** Descriptors that the fuzz may use. */
const own: number[] = [];
const LIMIT = 64;

interface Resizable extends ArrayBuffer {
  resize(length: number): void;
}
const ResizableBuffer = ArrayBuffer as unknown as new (length: number, options: { maxByteLength: number }) => Resizable;
const GrowableBuffer = SharedArrayBuffer as unknown as new (
  length: number,
  options: { maxByteLength: number },
) => SharedArrayBuffer;

function detached(): Uint8Array {
  const lost = new Uint8Array(64);
  structuredClone(lost.buffer, { transfer: [lost.buffer] });
  return lost;
}

function bytes(length: number): Uint8Array {
  const out = new Uint8Array(length);
  for (let at = 0; at < Math.min(length, 200); at++) out[at] = random(256);
  return out;
}

const lengths = [0, 1, 2, 3, 4, 7, 8, 12, 15, 16, 28, 64, 110, 131, 132, 133, 1000, 70_000];

function view(): unknown {
  switch (random(16)) {
    case 0:
      return detached();
    case 1: {
      const buffer = new ResizableBuffer(4096, { maxByteLength: 8248 });
      const whole = random(2) === 0 ? new Uint8Array(buffer) : new Uint8Array(buffer, 1000, 3000);
      buffer.resize(pick(random, [0, 500, 2000, 4096, 8248]));
      return whole;
    }
    case 2:
      return new Uint8Array(new SharedArrayBuffer(pick(random, lengths)));
    case 3:
      return new Uint8Array(new GrowableBuffer(100, { maxByteLength: 10_000 }));
    case 4:
      return pick(random, [
        new Int32Array(4),
        new Float64Array(4),
        new BigInt64Array(2),
        new DataView(new ArrayBuffer(16)),
        new ArrayBuffer(16),
        new Int8Array(40),
        new Uint8ClampedArray(40),
        Buffer.alloc(40),
        Object.create(Uint8Array.prototype) as unknown,
      ]);
    case 5:
      return new Uint8Array(new ArrayBuffer(200), 1 + random(100), random(100));
    default:
      return bytes(pick(random, lengths));
  }
}

function views(): unknown {
  const list: unknown[] = Array.from({ length: pick(random, [0, 1, 2, 5, 1023, 1024, 1025, 1500]) }, () =>
    random(50) === 0 ? anything() : bytes(random(4)),
  );
  switch (random(8)) {
    case 0:
      list[5] = undefined;
      return list;
    case 1:
      return new Proxy(list, {});
    case 2:
      return Object.defineProperty(list, 0, {
        get: () => {
          throw new Error("a getter");
        },
      });
    default:
      return list;
  }
}

const numbers = [
  0,
  1,
  -1,
  2,
  7,
  255,
  65_535,
  65_536,
  2 ** 31 - 1,
  -(2 ** 31),
  2 ** 32,
  2 ** 53,
  -(2 ** 53),
  1e300,
  0.5,
  -0.5,
  NaN,
  Infinity,
  -Infinity,
  -0,
];

function number(): number {
  return random(3) === 0 ? random(300) : pick(random, numbers);
}

function anything(): unknown {
  switch (random(14)) {
    case 0:
      return undefined;
    case 1:
      return null;
    case 2:
      return random(2) === 0;
    case 3:
      return pick(random, ["", "lo", "localhost", "tcp", "127.0.0.1", "x".repeat(5000), "a\0b", "\ud800", "80"]);
    case 4:
      return 7n;
    case 5:
      return Symbol("s");
    case 6:
      return {};
    case 7:
      return () => {};
    case 8:
      return views();
    case 9:
    case 10:
      return view();
    default:
      return number();
  }
}

function descriptor(): unknown {
  if (own.length > 0 && random(10) > 0) return pick(random, own);
  return pick(random, [-1, 1_000_000, 2 ** 31 - 1, -(2 ** 31), undefined, null, "3", {}, 7n]);
}

/** A sockaddr that leads nowhere but to this machine, or nothing of the kind. */
function address(): unknown {
  if (random(8) === 0)
    return random(2) === 0 ? detached() : pick(random, [null, undefined, 5, "x", {}, new Float64Array(4)]);
  return place();
}

function place(): Uint8Array {
  const out = bytes(pick(random, [0, 1, 2, 3, 15, 16, 17, 28, 29, 110, 111, 128, 129, 200]));
  if (out.length >= 2) out.set([pick(random, [1, 2, 10, 99, 255]), 0]);
  if (out[0] === 2 && out.length >= 8) out.set([127, 0, 0, 1], 4);
  if (out[0] === 10 && out.length >= 24) out.set([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], 8);
  return out;
}

const sockets = {
  family: (): unknown => pick(random, [1, 2, 10, 2, 1, 10, 0, -1, 77, 65_536, undefined, "2"]),
  type: (): unknown => pick(random, [1, 2, 1, 2, 5, 0, 7, 99, -1, 1 | 0o4000, 2 | 0o2000000, null]),
  protocol: (): unknown => pick(random, [0, 0, 0, 6, 17, 255, 300, -1, {}]),
};

/** Arguments for lookups: only names that need no name server, or values that are not names. */
const host = (): unknown => pick(random, [null, undefined, "localhost", "127.0.0.1", "::1", "", 5, {}, view()]);
const own4 = (): unknown =>
  pick(random, [Uint8Array.of(127, 0, 0, 1), new Uint8Array(0), bytes(3), detached(), null, "x"]);
const NUMERIC = 1 | 2 | 4;

/** The table of a batch: entries with lengths of all kinds, and names of this machine. */
function table(): unknown {
  if (random(6) === 0) return view();
  const entries = pick(random, [1, 2, 20, 1024]);
  const out = new Uint8Array(248 * entries);
  const words = new DataView(out.buffer);
  for (let entry = 0; entry < entries; entry++) {
    for (let word = 0; word < 8; word++) {
      if (random(2) === 0)
        words.setUint32(
          248 * entry + 4 * word,
          pick(random, [1, 2, 12, 16, 20, 28, 64, 200, 70_000, 2 ** 31, 2 ** 32 - 1]),
          true,
        );
    }
    out.set(place().subarray(0, 128), 248 * entry + 32);
  }
  return out;
}

/** Arguments of the calls that need care; `undefined` leaves a call out. */
const care: Readonly<Record<string, (() => unknown[]) | undefined>> = {
  socket: () => [sockets.family(), sockets.type(), sockets.protocol()],
  socketpair: () => [sockets.family(), sockets.type(), sockets.protocol(), view()],
  bind: () => [descriptor(), address()],
  connect: () => [descriptor(), address()],
  sendto: () => [descriptor(), view(), number(), address()],
  sendfile: () => [descriptor(), descriptor(), number(), number()],
  splice: () => [descriptor(), descriptor(), number()],
  pollset: () => [random(2) === 0 ? new Uint8Array(16 * random(5)) : view()],
  getservbyname: () => [pick(random, ["http", "", "a\0b", 5, null]), pick(random, ["tcp", null, "", 5])],
  recvAt: () => [descriptor(), view(), number(), number()],
  recvfrom: () => [descriptor(), view(), number(), number(), random(4) > 0 ? bytes(132) : view()],
  recvmmsg: () => [descriptor(), view(), table(), random(2) === 0 ? bytes(20_000) : view(), number()],
  sendmmsg: () => [descriptor(), view(), table(), random(4), number(), number()],
  sendmsg: () => [
    descriptor(),
    views(),
    number(),
    number(),
    random(2) === 0 ? null : address(),
    random(2) === 0 ? null : view(),
  ],
  recvmsg: () => [
    descriptor(),
    views(),
    number(),
    random(2) === 0 ? null : view(),
    random(2) === 0 ? null : view(),
    view(),
  ],
  spliceThrough: () => [
    descriptor(),
    descriptor(),
    descriptor(),
    descriptor(),
    random(5000),
    random(5000),
    random(4) > 0 ? bytes(8) : view(),
    random(3),
  ],
  // Names and levels that concern the socket alone; no lingering, which would stop the thread at close().
  setsockopt: () => [
    descriptor(),
    pick(random, [1, 6, 17, 41, -1, 999]),
    pick(random, [1, 2, 3, 4, 6, 7, 8, 9, 10, 15, 16, 99, -1]),
    view(),
  ],
  getsockopt: () => [descriptor(), pick(random, [0, 1, 6, 17, 41, -1, 999]), number(), view()],
  poll: () => [descriptor(), number(), pick(random, [0, NaN, undefined, "1", null])],
  pollEntries: () => [view(), pick(random, [0, NaN, undefined, "1", null])],
  getaddrinfo: () => [
    host(),
    pick(random, [null, "80", "", "x".repeat(100), 5]),
    number(),
    number(),
    number(),
    NUMERIC,
    random(4) > 0 ? () => {} : anything(),
  ],
  getaddrinfoSync: () => [host(), pick(random, [null, "80", "", 5]), number(), number(), number(), NUMERIC],
  getnameinfo: () => [address(), NUMERIC, random(4) > 0 ? () => {} : anything()],
  getnameinfoSync: () => [address(), NUMERIC],
  gethostbyname: () => [host(), number(), random(4) > 0 ? () => {} : anything()],
  gethostbynameSync: () => [host(), number()],
  gethostbyaddr: () => [own4(), number(), random(4) > 0 ? () => {} : anything()],
  gethostbyaddrSync: () => [own4(), number()],
  abandonLookup: () => [random(4) > 0 ? random(2000) : anything()],
  resumeLookup: () => [random(4) > 0 ? random(2000) : anything()],
  sethostname: () => [pick(random, [undefined, null, 5, {}, Symbol("s")])],
  pollerAdd: () => [descriptor(), number(), number(), number(), random(3)],
  pollerModify: () => [descriptor(), number(), number(), anything(), random(3)],
  pollerRemove: () => [descriptor(), random(3), random(2) > 0 ? number() : anything()],
  pollerRef: () => [random(3)],
  pollerTurned: () => [random(3)],
  openPoller: () => [random(2) === 0 ? () => {} : anything(), random(2)],
};

/** Any call: mostly a descriptor first, which most of them take, then anything. */
function ordinary(): unknown[] {
  const args = Array.from({ length: random(9) }, () => anything());
  if (args.length > 0) args[0] = descriptor();
  // A second descriptor is one of ours too.
  if (args.length > 1 && random(2) === 0) args[1] = random(2) === 0 ? descriptor() : view();
  return args;
}

function remember(name: string, result: unknown, args: readonly unknown[]): void {
  if (["socket", "accept", "dup"].includes(name) && typeof result === "number" && result >= 0) own.push(result);
  if ((name === "socketpair" || name === "pipe") && result === 0) {
    const pair = args.find((argument) => argument instanceof Uint8Array && argument.length >= 8) as Uint8Array;
    const data = new DataView(pair.buffer, pair.byteOffset, 8);
    own.push(data.getInt32(0, true), data.getInt32(4, true));
  }
  // A released descriptor would be nobody's.
  if (name === "release" && result === 0) addon.adopt(args[0] as number);
  if (name === "close" && result === 0) own.splice(own.indexOf(args[0] as number), 1);
  while (own.length > LIMIT) addon.close(own.shift()!);
}

const calls: Record<string, number> = {};
for (let round = 0; round < Number(roundsText); round++) {
  const [name, call] = pick(random, functions);
  const args =
    random(20) === 0 && name !== "sethostname" && care[name] === undefined
      ? Array.from({ length: random(5) }, () => anything())
      : (care[name] ?? ordinary)();
  // Not what a stray number could mean: the standard streams, and what Node has open.
  if (care[name] === undefined && typeof args[0] === "number" && !own.includes(args[0]) && Math.abs(args[0]) < 1000)
    args[0] = -1;
  for (const [index, argument] of args.entries()) {
    const descriptors = name === "spliceThrough" ? 4 : ["splice", "sendfile"].includes(name) ? 2 : 0;
    if (index < descriptors && typeof argument === "number" && !own.includes(argument)) args[index] = -1;
  }
  try {
    remember(name, call(...args), args);
    calls[name] = (calls[name] ?? 0) + 1;
  } catch (error) {
    if (!(error instanceof Error)) appendFileSync(`${mark}.log`, `${name} threw ${String(error)}\n`);
  }
  if (random(200) === 0) await new Promise((resolve) => setImmediate(resolve));
}
for (const fd of own.splice(0)) addon.close(fd);
// A poller with a thread lets go of the process when JavaScript says that the loop has turned.
for (let poller = 0; poller < 3; poller++) addon.pollerTurned(poller);
// Each of them got through to the kernel at least once, but for the ones that nobody may call.
const idle = functions.map(([name]) => name).filter((name) => calls[name] === undefined && name !== "sethostname");
writeFileSync(mark!, idle.join(" "));
