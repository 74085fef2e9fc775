// proxy: the example proxy.ts (listen(), connect() and pump()) and HAProxy. It measures bytes through long connections,
// and short connections. The client and the target are in one process on the other core.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Child, type Line, numberIn } from "../lib/children.js";
import { freePort, startForeign } from "../lib/foreign.js";
import { nativeProgram, patternFile } from "../lib/native.js";
import { type Program, script } from "../lib/servers.js";
import { usageIn } from "../lib/usage.js";
import type { Placement } from "../lib/machine.js";
import type { Sample, Subject, Window, Workload } from "../lib/workload.js";
import { byteMetrics, byteSample, fileSize } from "./sendfile.js";

/** Number of long connections. */
export const connections = 4;
/** Number of short connections that are open at the same time. */
const atATime = 64;

/** A running proxy. */
export interface Proxy extends AsyncDisposable {
  readonly child: Child;
  readonly port: number;
}

/** Starts a proxy to the port `target`. */
export type Start = (placement: Placement, target: number) => Promise<Proxy>;

/** Starts a program of this project whose last argument is the port of the target. */
export const ours =
  (program: Program, ...parameters: readonly string[]): Start =>
  async ({ server, site }, target) => {
    const child = await Child.start(server, await program(site, ...parameters, String(target)));
    try {
      const port = numberIn(await child.nextObject(), "port");
      return { child, port, [Symbol.asyncDispose]: () => child.stop() };
    } catch (error) {
      await child.stop();
      throw error;
    }
  };

/** Starts HAProxy on one thread. `options` are its options about splice(2). */
const haproxy =
  (...options: readonly string[]): Start =>
  async ({ server }, target) => {
    const port = await freePort();
    const folder = await mkdtemp(join(tmpdir(), "berkeley-haproxy-"));
    const file = join(folder, "haproxy.cfg");
    const lines = [
      "global",
      "  nbthread 1",
      "  maxconn 4096",
      // The default size of the pipe in pump().
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
      const child = await startForeign(server, port, ["haproxy", "-db", "-q", "-f", file]);
      const stop = async (): Promise<void> => {
        await child.stop();
        await rm(folder, { recursive: true });
      };
      return { child, port, [Symbol.asyncDispose]: stop };
    } catch (error) {
      await rm(folder, { force: true, recursive: true });
      throw error;
    }
  };

/** A subject whose proxy runs for the whole round, with one target port. `measure` measures one window. */
export function proxySubject(
  name: string,
  role: Subject["role"],
  start: Start,
  measure: (placement: Placement, window: Window, proxy: Proxy, far: number) => Promise<Sample>,
): Subject {
  const open: Subject["open"] = async (placement) => {
    const far = await freePort();
    const proxy = await start(placement, far);
    return {
      measure: (window) => measure(placement, window, proxy, far),
      children: [proxy.child],
      [Symbol.asyncDispose]: () => proxy[Symbol.asyncDispose](),
    };
  };
  return { name, role, open };
}

/** Measures bytes through the long connections, in one direction. */
export async function bulk(placement: Placement, window: Window, proxy: Proxy, far: number): Promise<Sample> {
  const { measureMs, warmupMs } = window;
  const parameters = [connections, warmupMs, measureMs, far, proxy.port, proxy.child.pid].map(String);
  const load: [string, ...string[]] = [await nativeProgram("splice_load"), await patternFile(fileSize), ...parameters];
  await using ends = await Child.start(placement.load, load);
  return byteSample(await ends.nextObject(warmupMs + measureMs + 30_000));
}

/** Measures short connections. */
async function short(placement: Placement, window: Window, proxy: Proxy, far: number): Promise<Sample> {
  const { measureMs, warmupMs } = window;
  const parameters = [proxy.port, proxy.child.pid, far, atATime, warmupMs, measureMs].map(String);
  await using ends = await Child.start(placement.load, [await nativeProgram("connect_load"), ...parameters]);
  return shortSample(await ends.nextObject(warmupMs + measureMs + 30_000));
}

const proxies: readonly [name: string, role: Subject["role"], start: Start][] = [
  ["berkeley", "ours", ours(script("proxy-berkeley"))],
  ["haproxy", "peer", haproxy("splice-auto")],
  ["node:net", "peer", ours(script("splice-node"))],
  ["haproxy-splice", "variant", haproxy("splice-request", "splice-response")],
  ["haproxy-copy", "variant", haproxy()],
];

function shortSample(line: Line): Sample {
  const count = numberIn(line, "count");
  const usage = usageIn(line);
  return {
    connections_per_second: (count / usage.elapsedNs) * 1e9,
    cpu_us_per_connection: usage.cpuNs / count / 1e3,
    user_us_per_connection: usage.userNs / count / 1e3,
    system_us_per_connection: usage.systemNs / count / 1e3,
  };
}

export const proxy: Workload = {
  name: "proxy",
  cases: [
    {
      title: `a TCP proxy, ${connections} connections, one way`,
      metrics: byteMetrics,
      subjects: proxies.map(([name, role, start]) => proxySubject(name, role, start, bulk)),
      limits: [{ metric: "mb_per_second", subject: "berkeley", peer: "haproxy", atLeast: 0.9 }],
    },
    {
      title: `a TCP proxy, ${atATime} short connections at a time: 64 bytes there, 64 bytes back`,
      metrics: [
        { name: "connections_per_second", label: "connections/s", digits: 0 },
        { name: "cpu_us_per_connection", label: "CPU us/connection", digits: 1 },
        { name: "user_us_per_connection", label: "user", digits: 1, detail: true },
        { name: "system_us_per_connection", label: "system", digits: 1, detail: true },
      ],
      subjects: proxies.map(([name, role, start]) => proxySubject(name, role, start, short)),
      limits: [{ metric: "connections_per_second", subject: "berkeley", peer: "haproxy", atLeast: 1 }],
    },
  ],
};
