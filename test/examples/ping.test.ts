// The example ping, as a program and as a module.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { AF_INET, AF_INET6, has_ipv6, IPPROTO_ICMP, SOCK_DGRAM, SOCK_RAW, Socket, SocketError } from "berkeley";
import { lineOf, ping, type PingEvent, Statistics } from "../../examples/ping.js";
import { decodeReply, encodeRequest, internetChecksum } from "../../examples/ping/packet.js";
import { checkLeaks } from "../support/leaks.js";
import { canUnshare, runUnshared } from "../support/namespaces.js";

checkLeaks();

const program = fileURLToPath(new URL("../../examples/ping.js", import.meta.url));
const scenes = fileURLToPath(new URL("./pingScenes.js", import.meta.url));

/** Undefined where the kernel lets this user have the socket, or else why not. */
function refusal(type: number): string | undefined {
  try {
    new Socket(AF_INET, type, IPPROTO_ICMP).close();
    return undefined;
  } catch (error) {
    assert.ok(error instanceof SocketError);
    return error.message;
  }
}

const withoutRaw = refusal(SOCK_RAW);
const withoutDatagram = refusal(SOCK_DGRAM);
const withoutAny =
  withoutRaw !== undefined && withoutDatagram !== undefined ? `${withoutRaw}, ${withoutDatagram}` : false;
const range = readFileSync("/proc/sys/net/ipv4/ping_group_range", "utf8").trim().split(/\s+/).join(" ");

function run(...words: readonly string[]): { status: number | null; stdout: string; stderr: string } {
  const env = { ...process.env };
  delete env["NODE_TEST_CONTEXT"];
  return spawnSync(process.execPath, [program, ...words], { encoding: "utf8", env, timeout: 30_000 });
}

const reply = (host: string): RegExp =>
  new RegExp(`^64 bytes from ${host.replaceAll(".", "\\.")}: icmp_seq=(\\d+) ttl=\\d+ time=\\d+\\.\\d{3} ms$`, "gm");

function checkRun(stdout: string, host: string, kind: string, count: number): void {
  assert.match(stdout, new RegExp(`^PING ${host} \\(${host}\\): 56 data bytes, ${kind} socket\n`));
  const sequences = [...stdout.matchAll(reply(host))].map((match) => Number(match[1]));
  assert.deepEqual(
    sequences,
    Array.from({ length: count }, (_, i) => i + 1),
  );
  assert.match(stdout, new RegExp(`\n${count} packets transmitted, ${count} received, 0% packet loss\n`));
  assert.match(stdout, /\nrtt min\/avg\/max\/mdev = \d+\.\d{3}\/\d+\.\d{3}\/\d+\.\d{3}\/\d+\.\d{3} ms\n$/);
}

for (const host of ["127.0.0.1", ...(has_ipv6 ? ["::1"] : [])]) {
  test(`ping ${host} with a raw socket`, { skip: withoutRaw }, () => {
    const { status, stdout, stderr } = run("--raw", "-c", "3", "-i", "0.01", host);
    assert.equal(stderr, "");
    assert.equal(status, 0);
    checkRun(stdout, host, "raw", 3);
  });

  const why = withoutDatagram === undefined ? undefined : `${withoutDatagram}: ping_group_range is ${range}`;
  test(`ping ${host} with a datagram socket`, { skip: why }, () => {
    const { status, stdout } = run("--datagram", "-c", "3", "-i", "0.01", host);
    assert.equal(status, 0);
    checkRun(stdout, host, "datagram", 3);
  });

  test(`ping ${host} without privileges, in a network of its own`, { skip: skipWithout("-n") }, () => {
    const { status, stdout, stderr } = runUnshared(
      ["-n"],
      `ip link set lo up
       echo "0 2147483647" > /proc/sys/net/ipv4/ping_group_range
       exec setpriv --bounding-set -all --inh-caps -all "$NODE" "$@"`,
      [program, "-c", "3", "-i", "0.01", host],
    );
    assert.equal(stderr, "");
    assert.equal(status, 0);
    checkRun(stdout, host, "datagram", 3);
  });
}

function skipWithout(flag: string): string | undefined {
  return canUnshare([flag]) ? undefined : `unshare ${flag} takes privileges`;
}

test("ping falls back to a raw socket", { skip: withoutRaw ?? skipWithout("-n") }, () => {
  const { stdout } = runUnshared(
    ["-n"],
    'ip link set lo up; echo "1 0" > /proc/sys/net/ipv4/ping_group_range; exec "$NODE" "$@"',
    [program, "-c", "1", "127.0.0.1"],
  );
  assert.match(stdout, /, raw socket\n/);
});

test("ping reports that there was no answer", { skip: withoutRaw ?? skipWithout("-n") }, () => {
  const { status, stdout } = runUnshared(
    ["-n"],
    'ip link set lo up; echo 1 > /proc/sys/net/ipv4/icmp_echo_ignore_all; exec "$NODE" "$@"',
    [program, "-c", "2", "-i", "0.01", "-W", "0.05", "127.0.0.1"],
  );
  assert.equal(status, 1);
  assert.match(stdout, /\nno answer to icmp_seq=1\nno answer to icmp_seq=2\n/);
  assert.match(stdout, /\n2 packets transmitted, 0 received, 100% packet loss\n$/);
});

test(
  "ping() distinguishes lost, late, duplicate and refused requests",
  { skip: withoutRaw ?? skipWithout("-n") },
  () => {
    const { status, stdout, stderr } = runUnshared(
      ["-n"],
      `ip link set lo up
     echo 1 > /proc/sys/net/ipv4/icmp_echo_ignore_all
     echo "0 2147483647" > /proc/sys/net/ipv4/ping_group_range
     exec "$NODE" "$@"`,
      [scenes],
    );
    assert.equal(stderr, "");
    assert.equal(status, 0);
    const seen = JSON.parse(stdout) as Record<string, Record<string, PingEvent & { sequence: number }>>;
    for (const kind of ["datagram", "raw"]) {
      const { lost, late, duplicate, error } = seen[kind]!;
      assert.equal(lost?.sequence, 1, kind);
      assert.ok(late?.type === "reply" && late.sequence === 1 && late.late && !late.duplicate, kind);
      assert.ok(
        duplicate?.type === "reply" && duplicate.sequence === 1 && duplicate.duplicate && !duplicate.late,
        kind,
      );
      assert.ok(error?.type === "error" && error.sequence === 1, kind);
      assert.deepEqual([error.code, error.from], ["EHOSTUNREACH", "127.0.0.1"], kind);
    }
  },
);

test("ping prints the statistics when it is interrupted", { skip: withoutAny }, async () => {
  const env = { ...process.env };
  delete env["NODE_TEST_CONTEXT"];
  const child = spawn(process.execPath, [program, "-i", "0.01", "127.0.0.1"], {
    env,
    stdio: ["ignore", "pipe", "inherit"],
  });
  let stdout = "";
  child.stdout.on("data", (chunk: Buffer) => {
    if (!stdout.includes("icmp_seq=2") && (stdout + chunk.toString()).includes("icmp_seq=2")) child.kill("SIGINT");
    stdout += chunk.toString();
  });
  const [status] = (await once(child, "close")) as [number | null];
  assert.equal(status, 0);
  assert.match(stdout, /\n--- 127\.0\.0\.1 ping statistics ---\n\d+ packets transmitted, \d+ received,/);
});

test("ping refuses wrong arguments before it sends anything", () => {
  for (const words of [
    [],
    ["a", "b"],
    ["-x", "::1"],
    ["-c", "x", "::1"],
    ["-4", "-6", "::1"],
    ["--raw", "--datagram", "a"],
  ]) {
    const { status, stdout, stderr } = run(...words);
    assert.equal(status, 2, words.join(" "));
    assert.equal(stdout, "");
    assert.match(stderr, /^ping: .*\n?.*usage: ping /s);
  }
  for (const words of [
    ["-c", "0"],
    ["-c", "1.5"],
    ["-i", "0"],
    ["-W", "0"],
    ["-s", "65508"],
  ]) {
    const { status, stderr } = run(...words, "127.0.0.1");
    assert.equal(status, 2, words.join(" "));
    assert.match(stderr, /^ping: Cannot ping: \w+ is /);
  }
});

test("ping() closes its socket when the loop is left", { skip: withoutAny }, async () => {
  for await (const event of ping("127.0.0.1", { interval: 10 })) if (event.type === "reply") break;
  await assert.rejects(
    async () => {
      for await (const event of ping("127.0.0.1", { signal: AbortSignal.abort(new Error("enough")) })) void event;
    },
    { message: "enough" },
  );
  for (const family of [AF_INET, AF_INET6]) {
    const other = family === AF_INET ? "::1" : "127.0.0.1";
    await assert.rejects(async () => ping(other, { family }).next(), { code: /^EAI_/ });
  }
});

test("Statistics has the figures of the added events", () => {
  const statistics = new Statistics();
  assert.equal(String(statistics), "0 packets transmitted, 0 received, 0% packet loss");
  const answer = { type: "reply", bytes: 64, from: "192.0.2.1", ttl: 64, late: false, duplicate: false } as const;
  for (const [index, time] of [1, 2, 6].entries()) {
    statistics.add({ type: "sent", sequence: index + 1 });
    statistics.add({ ...answer, sequence: index + 1, time });
  }
  statistics.add({ ...answer, sequence: 1, time: 9, duplicate: true });
  statistics.add({ type: "sent", sequence: 4 });
  statistics.add({ type: "lost", sequence: 4 });
  statistics.add({ type: "sent", sequence: 5 });
  statistics.add({ type: "error", sequence: 5, code: "EHOSTUNREACH", from: "192.0.2.254" });
  // Mean 3, mean of the squares 41/3: deviation sqrt(14/3).
  assert.equal(
    String(statistics),
    "5 packets transmitted, 3 received, +1 duplicates, +1 errors, 40% packet loss\n" +
      "rtt min/avg/max/mdev = 1.000/3.000/6.000/2.160 ms",
  );
});

test("lineOf() makes one line of an event", () => {
  const answer = {
    type: "reply",
    sequence: 7,
    bytes: 64,
    from: "::1",
    ttl: undefined,
    time: 1.5,
    late: false,
  } as const;
  assert.equal(lineOf({ ...answer, duplicate: false }), "64 bytes from ::1: icmp_seq=7 time=1.500 ms");
  assert.equal(
    lineOf({ ...answer, ttl: 3, duplicate: true }),
    "64 bytes from ::1: icmp_seq=7 ttl=3 time=1.500 ms (duplicate)",
  );
  assert.equal(
    lineOf({ type: "error", sequence: 2, code: "EPERM", from: undefined }),
    "From this machine: icmp_seq=2 EPERM",
  );
  assert.equal(lineOf({ type: "sent", sequence: 2 }), undefined);
});

test("an echo request carries the checksum of RFC 1071", () => {
  // The example of RFC 1071, section 3: the sum of these is ddf2.
  assert.equal(internetChecksum(Buffer.from("0001f203f4f5f6f7", "hex")), 0xffff - 0xddf2);
  const request = encodeRequest(false, { identifier: 1, sequence: 2, payload: Buffer.from("abc") });
  assert.equal(internetChecksum(request), 0);
  assert.equal(decodeReply(false, request), undefined);
  const message = Buffer.from(request);
  message[0] = 0;
  assert.equal(decodeReply(false, message), undefined, "the checksum was that of a request");
  message.writeUInt16BE(0, 2);
  message.writeUInt16BE(internetChecksum(message), 2);
  assert.deepEqual(decodeReply(false, message), { identifier: 1, sequence: 2, payload: Buffer.from("abc") });
  assert.equal(decodeReply(false, message.subarray(0, 7)), undefined);
  assert.equal(decodeReply(false, Buffer.alloc(0)), undefined);
});
