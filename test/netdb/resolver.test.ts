// getaddrinfo(), getnameinfo() and the older calls: arguments, errors, deadlines, and leaks.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { Worker } from "node:worker_threads";
import {
  AF_INET,
  AI_NUMERICHOST,
  AI_NUMERICSERV,
  getaddrinfo,
  getfqdn,
  gethostbyaddr,
  gethostbyname,
  gethostbyname_ex,
  getnameinfo,
  InetAddress,
  NI_NUMERICHOST,
  NI_NUMERICSERV,
  SOCK_STREAM,
  SocketError,
} from "berkeley";
import { calls } from "#berkeley/sys/calls.js";
import { EAI_AGAIN, EAI_SYSTEM } from "#berkeley/sys/constants.js";
import { ENOMEM } from "#berkeley/sys/errno.js";
import * as blocking from "#berkeley/netdb/blockingNames.js";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

const real = { ...calls };
afterEach(() => Object.assign(calls, real));

/** A resolver that never answers. */
function silence(): void {
  calls.getaddrinfo = calls.getnameinfo = calls.gethostbyname = calls.gethostbyaddr = () => 0;
}

test("getaddrinfo() gives addresses that print as one writes them", async () => {
  const [first] = await getaddrinfo("127.0.0.1", "http", { family: AF_INET, type: SOCK_STREAM });
  assert.ok(first!.address instanceof InetAddress);
  assert.deepEqual(
    { ...first, address: String(first!.address) },
    {
      family: AF_INET,
      type: SOCK_STREAM,
      protocol: 6,
      canonname: "",
      address: "127.0.0.1:80",
    },
  );
});

const wrong: readonly [args: unknown[], name: string, message: RegExp][] = [
  [["a\0b", 80], "TypeError", /host is "a\\u0000b", required a string without NUL$/],
  [["x".repeat(254), 80], "RangeError", /host has 254 bytes, required at most 253$/],
  [["é".repeat(127), 80], "RangeError", /host has 254 bytes, required at most 253$/],
  [["é".repeat(60).split("").join("."), 80], "RangeError", /has 479 bytes in ASCII, required at most 253$/],
  [["é é", 80], "TypeError", /^Cannot look up a host: name is "é é", required a host name$/],
  [["\ud800", 80], "TypeError", /host is .*, required a string without lone surrogates$/],
  [[7, 80], "TypeError", /host is 7, required a string$/],
  [["localhost", "a\0b"], "TypeError", /service is "a\\u0000b", required a string without NUL$/],
  [["localhost", 65536], "RangeError", /service is 65536, required a whole number from 0 to 65535$/],
  [["localhost", 1.5], "RangeError", /service is 1.5/],
  [["localhost", -1], "RangeError", /service is -1/],
  [["localhost", "65536"], "RangeError", /service is "65536", required a name or a port from 0 to 65535$/],
  [["localhost", "-1"], "TypeError", /service is "-1", required a number without sign and spaces, or a name$/],
  [["localhost", " 80"], "TypeError", /service is " 80"/],
  [["localhost", {}], "TypeError", /service is \{\}, required a string$/],
  [["localhost", 80, 4], "TypeError", / are 4, required an object/],
  [["localhost", 80, { family: "inet" }], "TypeError", /family is "inet"/],
  [["localhost", 80, { type: 1.5 }], "RangeError", /type is 1.5/],
  [["localhost", 80, { protocol: null, flags: "x" }], "TypeError", /flags is "x"/],
  [["localhost", 80, { timeout: -1 }], "RangeError", /timeout is -1/],
  [["localhost", 80, { timeout: "1" }], "TypeError", /timeout is "1"/],
  [["localhost", 80, { signal: {} }], "TypeError", /signal is \{\}, required an AbortSignal$/],
];

test("getaddrinfo() rejects wrong arguments before the lookup", async () => {
  calls.getaddrinfo = calls.getaddrinfoSync = () => assert.fail("it asked");
  for (const [args, name, message] of wrong) {
    await assert.rejects(getaddrinfo(...(args as Parameters<typeof getaddrinfo>)), { name, message });
    const hints = args[2];
    if (typeof hints === "object" && hints !== null && ("timeout" in hints || "signal" in hints)) continue;
    assert.throws(() => blocking.getaddrinfo(...(args as Parameters<typeof blocking.getaddrinfo>)), { name, message });
  }
});

test("getnameinfo() refuses a value that is not a numeric address", async () => {
  calls.getnameinfo = () => assert.fail("it asked");
  for (const address of ["localhost:80", ["", 80] as const, "127.0.0.1", { host: "127.1", port: 1 }]) {
    await assert.rejects(getnameinfo(address), TypeError);
  }
  await assert.rejects(getnameinfo("127.0.0.1:80", "x" as never), { name: "TypeError", message: /flags is "x"/ });
  await assert.rejects(getnameinfo("127.0.0.1:80", 0, 5 as never), { name: "TypeError", message: /options are 5/ });
});

test("getnameinfo() takes an IPv6 address with the name of its interface", async () => {
  const numeric = NI_NUMERICHOST | NI_NUMERICSERV;
  assert.deepEqual(await getnameinfo("[fe80::1%lo]:80", numeric), ["fe80::1%lo", "80"]);
  await assert.rejects(getnameinfo("[fe80::1%nosuchif0]:80", numeric), { code: "ENODEV", syscall: "if_nametoindex" });
});

test("the older calls refuse hosts that C would cut", async () => {
  for (const call of [gethostbyname, gethostbyname_ex, gethostbyaddr, getfqdn]) {
    await assert.rejects(call("a\0b"), TypeError, call.name);
    await assert.rejects(call("x".repeat(254)), RangeError, call.name);
  }
});

test("an error of the resolver has a code, its number, and the resolver's text", async () => {
  const error: unknown = await getaddrinfo("localhost", 80, { flags: AI_NUMERICHOST }).catch(
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof SocketError);
  const { code, errno, syscall, address, message } = error;
  assert.deepEqual(
    { code, errno, syscall, address, message },
    {
      code: "EAI_NONAME",
      errno: -2,
      syscall: "getaddrinfo",
      address: "localhost",
      message: "getaddrinfo EAI_NONAME localhost: name or service not known",
    },
  );
});

test("an error of the system keeps its own code", async () => {
  calls.getaddrinfo = (_host, _service, _family, _type, _protocol, _flags, callback) => {
    setImmediate(callback, EAI_SYSTEM, 24, null);
    return 0;
  };
  calls.getaddrinfoSync = () => [EAI_AGAIN, 0, null];
  await assert.rejects(getaddrinfo("localhost", 80), { code: "EMFILE", errno: -24, syscall: "getaddrinfo" });
  assert.throws(() => blocking.getaddrinfo("localhost", 80), { code: "EAI_AGAIN" });
  calls.getaddrinfo = calls.getaddrinfoSync = () => ENOMEM;
  await assert.rejects(getaddrinfo("localhost", 80), { code: "ENOMEM", syscall: "getaddrinfo" });
  assert.throws(() => blocking.getaddrinfo("localhost", 80), { code: "ENOMEM", syscall: "getaddrinfo" });
});

test("getfqdn() returns an unknown name unchanged, and passes on other errors", async () => {
  calls.getaddrinfo = (_host, _service, _family, _type, _protocol, _flags, callback) => {
    setImmediate(callback, EAI_AGAIN, 0, null);
    return 0;
  };
  assert.equal(await getfqdn("nobody"), "nobody");
  calls.gethostname = () => "this-machine";
  for (const name of ["", " ", "0.0.0.0", "::"]) assert.equal(await getfqdn(name), "this-machine");
  calls.getaddrinfo = () => {
    throw new Error("broken");
  };
  await assert.rejects(getfqdn("nobody"), { message: "broken" });
});

const waiting: readonly [name: string, call: (opts: { timeout?: number; signal?: AbortSignal }) => Promise<unknown>][] =
  [
    ["getaddrinfo", (opts) => getaddrinfo("localhost", 80, opts)],
    ["getnameinfo", (opts) => getnameinfo("127.0.0.1:80", 0, opts)],
    ["gethostbyname", (opts) => gethostbyname("localhost", opts)],
    ["gethostbyname", (opts) => gethostbyname_ex("localhost", opts)],
    ["gethostbyaddr", (opts) => gethostbyaddr("127.0.0.1", opts)],
    ["getfqdn", (opts) => getfqdn("localhost", opts)],
  ];

test("a timeout ends the wait for the resolver with ETIMEDOUT", async () => {
  silence();
  for (const [syscall, call] of waiting) {
    await assert.rejects(call({ timeout: 1 }), { name: "SocketError", code: "ETIMEDOUT", syscall });
    await assert.rejects(call({ timeout: 0 }), { name: "SocketError", code: "ETIMEDOUT", syscall });
  }
});

test("a signal ends the wait for the resolver with its reason", async () => {
  silence();
  for (const [, call] of waiting) {
    const controller = new AbortController();
    const result = call({ signal: controller.signal, timeout: 60_000 });
    controller.abort(new Error("enough"));
    await assert.rejects(result, { message: "enough" });
    await assert.rejects(call({ signal: AbortSignal.abort(new Error("before")) }), { message: "before" });
  }
});

test("an answer that arrives after the deadline is ignored", async () => {
  let late: (() => void) | undefined;
  calls.getaddrinfo = (_host, _service, _family, _type, _protocol, _flags, callback) => {
    late = () => callback(EAI_AGAIN, 0, null);
    return 0;
  };
  await assert.rejects(getaddrinfo("localhost", 80, { timeout: 1 }), { code: "ETIMEDOUT" });
  late!();
  await new Promise((resolve) => setImmediate(resolve));
});

test("many questions at a time are each answered", async () => {
  const ports = Array.from({ length: 500 }, (_, port) => port);
  const answers = await Promise.all(ports.map((port) => getaddrinfo("127.0.0.1", port, { type: SOCK_STREAM })));
  assert.deepEqual(
    answers.map(([first]) => (first!.address as InetAddress).port),
    ports,
  );
});

test("a native call refuses text with a NUL, so that C can't cut it", () => {
  for (const call of [
    () => calls.getaddrinfoSync("a\0b", null, 0, 0, 0, 0),
    () => calls.getaddrinfoSync("a", "b\0c", 0, 0, 0, 0),
    () => calls.gethostbynameSync("a\0b", AF_INET),
    () => calls.getservbyname("a\0b", null),
    () => calls.getservbyname("a", "b\0c"),
    () => calls.getservbyport(1, "b\0c"),
    () => calls.getprotobyname("a\0b"),
    () => calls.if_nametoindex("lo\0x"),
    () => calls.inet_aton("127.0.0.1\0"),
  ]) {
    assert.throws(call, {
      name: "TypeError",
      message: "Cannot make a native call: string contains NUL, required a string without NUL",
    });
  }
});

test("a native call refuses addresses of the wrong length and arguments of the wrong type", () => {
  assert.equal(calls.gethostbyaddrSync(new Uint8Array(3), AF_INET), -22);
  assert.equal(calls.gethostbyaddrSync(new Uint8Array(4), 10), -22);
  assert.equal(calls.gethostbyaddrSync(new Uint8Array(4), 1), -22);
  assert.equal(calls.gethostbynameSync(null as never, AF_INET), -22);
  for (const args of [[], [1], ["a", "b"], ["a", null, "x", 0, 0, 0], ["a", null, 0, 0, 0, 0, 5]]) {
    assert.throws(() => (calls.getaddrinfoSync as (...values: unknown[]) => unknown)(...args), TypeError);
    assert.throws(() => (calls.gethostbyaddr as (...values: unknown[]) => unknown)(...args), TypeError);
  }
  assert.throws(() => calls.getnameinfoSync(new Uint8Array(1000), 0));
});

/** Calls that would leak memory after a mistake in C: one for each path out of the C functions. */
const sockaddr = Uint8Array.of(2, 0, 0, 80, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0);
const repeated: Readonly<Record<string, () => unknown>> = {
  "getaddrinfo that finds": () => calls.getaddrinfoSync("127.0.0.1", "80", 0, 0, 0, 0),
  "getaddrinfo that does not": () => calls.getaddrinfoSync("127.0.0.1", "x", 0, 0, 0, AI_NUMERICHOST | AI_NUMERICSERV),
  "getaddrinfo that throws": () => calls.getaddrinfoSync("some.host.example", "service", 0, 0, 0, "x" as never),
  getnameinfo: () => calls.getnameinfoSync(sockaddr, NI_NUMERICHOST | NI_NUMERICSERV),
  gethostbyname: () => calls.gethostbynameSync("127.0.0.1", AF_INET),
  "getservbyname that finds": () => calls.getservbyname("http", "tcp"),
  "getservbyname that throws": () => calls.getservbyname("a-service-with-a-long-name", 5 as never),
  getprotobyname: () => calls.getprotobyname("tcp"),
  if_nametoindex: () => calls.if_nametoindex("lo"),
  inet_aton: () => calls.inet_aton("127.1"),
  "text with a NUL": () => calls.inet_aton("127.0.0.1\0 and what would be cut off"),
};

/** The memory of the process, without what V8 frees only in a second collection, such as a part of its young space. */
function settledMemory(): number {
  global.gc!();
  global.gc!();
  return process.memoryUsage.rss();
}

/**
 * Bytes by which the process grows in each of `count` rounds, after as many rounds that may allocate memory for good. A
 * leak occurs in every measurement, while V8 takes memory from time to time. So the result is the smallest of several
 * measurements, or the first one below `enough`.
 */
async function growth(count: number, enough: number, round: (count: number) => unknown): Promise<number> {
  let least = Infinity;
  await round(count);
  for (let time = 0; time < 12 && least >= enough; time++) {
    const before = settledMemory();
    await round(count);
    least = Math.min(least, (settledMemory() - before) / count);
  }
  return least;
}

// AddressSanitizer keeps freed memory in a quarantine, so the process grows by what it frees. scripts/sanitize.mjs runs
// these tests once more, without the quarantine.
const sanitizer = process.env["ASAN_OPTIONS"];
const skip =
  sanitizer !== undefined && !sanitizer.includes("quarantine_size_mb=0")
    ? "AddressSanitizer keeps freed memory in its quarantine"
    : false;

for (const [name, call] of Object.entries(repeated)) {
  test(`a lookup leaks no memory: ${name}`, { skip }, async () => {
    const grown = await growth(30_000, 16, (count) => {
      for (let i = 0; i < count; i++) {
        try {
          call();
        } catch (error) {
          assert.ok(error instanceof TypeError);
        }
      }
    });
    // malloc() allocates at least 32 bytes.
    assert.ok(grown < 16, `${grown} bytes more with each`);
  });
}

test("a lookup on the thread pool leaks no memory", { skip }, async () => {
  const grown = await growth(300, 15_000, async (count) => {
    for (let i = 0; i < count; i++) {
      await Promise.all(Array.from({ length: 100 }, () => getaddrinfo("127.0.0.1", 80)));
    }
  });
  // A question has more than 1.5 KB, an answer 300 bytes.
  assert.ok(grown / 100 < 150, `${grown / 100} bytes more with each`);
});

test("a worker can be terminated while questions are pending", async () => {
  const source = `
    const { parentPort, workerData } = require("node:worker_threads");
    import(workerData).then(({ getaddrinfo }) => {
      const again = () => getaddrinfo("127.0.0.1", 80).then(again);
      for (let i = 0; i < 200; i++) again();
      parentPort.postMessage("asked");
    });`;
  for (let round = 0; round < 5; round++) {
    const worker = new Worker(source, { eval: true, workerData: import.meta.resolve("berkeley") });
    await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
    assert.equal(await worker.terminate(), 1);
  }
});
