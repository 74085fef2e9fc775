// proxy: the example proxy.ts, which is pump() behind listen() and connect(), beside HAProxy: bytes through connections that
// last, and connections that live shortly. Both ends are in one process on the other core.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Child, type Line, numberIn } from "../lib/children.js";
import { freePort, startForeign } from "../lib/foreign.js";
import { nativeProgram, patternFile } from "../lib/native.js";
import { script } from "../lib/servers.js";
import { usageIn } from "../lib/usage.js";
import type { Sample, Subject, Workload } from "../lib/workload.js";
import { byteMetrics, byteSample, fileSize } from "./sendfile.js";

/** Connections at a time, in each of the cases. */
const lasting = 4;
const atATime = 64;

/** A proxy that leads to a port. */
interface Proxy extends AsyncDisposable {
  readonly pid: number;
  readonly port: number;
}

type Start = (core: number, target: number) => Promise<Proxy>;

/** A script of ours whose argument is the port where it leads. */
const ours =
  (name: string): Start =>
  async (core, target) => {
    const child = await Child.start(core, await script(name)(String(target)));
    try {
      const port = numberIn(await child.nextObject(), "port");
      return { pid: child.pid, port, [Symbol.asyncDispose]: () => child.stop() };
    } catch (error) {
      await child.stop();
      throw error;
    }
  };

/** HAProxy on one thread, with splice(2) where it finds that worth it, always, or never. */
const haproxy =
  (...options: readonly string[]): Start =>
  async (core, target) => {
    const port = await freePort();
    const folder = await mkdtemp(join(tmpdir(), "berkeley-haproxy-"));
    const file = join(folder, "haproxy.cfg");
    const lines = [
      "global",
      "  nbthread 1",
      "  maxconn 4096",
      // As large as ours.
      "  tune.pipesize 262144",
      "defaults",
      "  mode tcp",
      "  timeout connect 5s",
      "  timeout client 300s",
      "  timeout server 300s",
      ...options.map((option) => `  option ${option}`),
      "listen proxy",
      `  bind 127.0.0.1:${port}`,
      `  server far 127.0.0.1:${target}`,
    ];
    try {
      await writeFile(file, `${lines.join("\n")}\n`);
      const child = await startForeign(core, port, ["haproxy", "-db", "-q", "-f", file]);
      const stop = async (): Promise<void> => {
        await child.stop();
        await rm(folder, { recursive: true });
      };
      return { pid: child.pid, port, [Symbol.asyncDispose]: stop };
    } catch (error) {
      await rm(folder, { force: true, recursive: true });
      throw error;
    }
  };

/** Bytes: every window has a load generator of its own, whose port a proxy of its own leads to. */
function bulk(name: string, role: Subject["role"], start: Start): Subject {
  const open: Subject["open"] = async (placement) => ({
    measure: async ({ warmupMs, measureMs }) => {
      const load: [string, ...string[]] = [await nativeProgram("splice_load"), await patternFile(fileSize)];
      await using ends = await Child.start(placement.load, [...load, ...[lasting, warmupMs, measureMs].map(String)]);
      const target = numberIn(await ends.nextObject(), "port");
      await using proxy = await start(placement.server, target);
      ends.tell(`${proxy.port} ${proxy.pid}`);
      return byteSample(await ends.nextObject(warmupMs + measureMs + 30_000));
    },
    [Symbol.asyncDispose]: async () => undefined,
  });
  return { name, role, open };
}

/** Short connections: a proxy stays for the whole round, and so does the port where it leads. */
function short(name: string, role: Subject["role"], start: Start): Subject {
  const open: Subject["open"] = async (placement) => {
    const far = await freePort();
    const proxy = await start(placement.server, far);
    return {
      measure: async ({ warmupMs, measureMs }) => {
        const parameters = [proxy.port, proxy.pid, far, atATime, warmupMs, measureMs].map(String);
        await using ends = await Child.start(placement.load, [await nativeProgram("connect_load"), ...parameters]);
        return shortSample(await ends.nextObject(warmupMs + measureMs + 30_000));
      },
      [Symbol.asyncDispose]: () => proxy[Symbol.asyncDispose](),
    };
  };
  return { name, role, open };
}

const proxies: readonly [name: string, role: Subject["role"], start: Start][] = [
  ["berkeley", "ours", ours("proxy-berkeley")],
  ["haproxy", "peer", haproxy("splice-auto")],
  ["node:net", "peer", ours("splice-node")],
  ["haproxy-splice", "variant", haproxy("splice-request", "splice-response")],
  ["haproxy-copy", "variant", haproxy()],
];

function shortSample(line: Line): Sample {
  const connections = numberIn(line, "count");
  const usage = usageIn(line);
  return {
    connections_per_second: (connections / usage.elapsedNs) * 1e9,
    cpu_us_per_connection: usage.cpuNs / connections / 1e3,
    user_us_per_connection: usage.userNs / connections / 1e3,
    system_us_per_connection: usage.systemNs / connections / 1e3,
  };
}

export const proxy: Workload = {
  name: "proxy",
  cases: [
    {
      title: `a TCP proxy, ${lasting} connections, one way`,
      metrics: byteMetrics,
      subjects: proxies.map(([name, role, start]) => bulk(name, role, start)),
      limits: [{ metric: "mb_per_second", subject: "berkeley", peer: "haproxy", atLeast: 0.9 }],
    },
    {
      title: `a TCP proxy, ${atATime} short connections at a time: 64 bytes there, 64 bytes back`,
      metrics: [
        { name: "connections_per_second", label: "connections/s", digits: 0 },
        { name: "cpu_us_per_connection", label: "CPU us/connection", digits: 1 },
        { name: "user_us_per_connection", label: "user", digits: 1 },
        { name: "system_us_per_connection", label: "system", digits: 1 },
      ],
      subjects: proxies.map(([name, role, start]) => short(name, role, start)),
      limits: [{ metric: "connections_per_second", subject: "berkeley", peer: "haproxy", atLeast: 0.9 }],
    },
  ],
};
