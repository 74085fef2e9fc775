// resp: redis-benchmark as the client of three servers with the protocol of Redis: redis-server, the example resp.ts,
// and the same example on node:net. Without pipelines it measures the cost of a small request and reply. With pipelines
// it measures the cost of parsing.

import { execFile } from "node:child_process";
import { promisify } from "node:util";

import { Child, numberIn } from "../lib/children.js";
import { freePort, startForeign } from "../lib/foreign.js";
import type { Placement } from "../lib/machine.js";
import { nativeProgram } from "../lib/native.js";
import { script } from "../lib/servers.js";
import { usageOf } from "../lib/usage.js";
import type { Case, Limit, Metric, Sample, Subject, Workload } from "../lib/workload.js";

const run = promisify(execFile);

/** The names of the tests of redis-benchmark, and of their metrics here. */
const tests: readonly [theirs: string, ours: string][] = [
  ["PING_INLINE", "inline"],
  ["PING_MBULK", "ping"],
  ["SET", "set"],
  ["GET", "get"],
];
/** Requests per test of the first run, which measures how many fit into a window. */
const trial = 2000;
const clients = 50;

/** Runs redis-benchmark. Resolves with the requests per second of each test. */
async function drive(placement: Placement, port: number, pipeline: number, count: number): Promise<number[]> {
  // pin.c sets its core, and makes the kernel kill it when this process ends.
  const program = [String(placement.load), String(process.pid), "redis-benchmark", "-h", "127.0.0.1"];
  const load = ["-p", port, "-t", "ping,set,get", "-c", clients, "-P", pipeline, "-n", count, "--csv"].map(String);
  const { stdout } = await run(await nativeProgram("pin"), [...program, ...load]);
  const rates = new Map([...stdout.matchAll(/^"(\w+)","([\d.]+)"/gm)].map(([, name, rate]) => [name, Number(rate)]));
  return tests.map(([name]) => {
    const rate = rates.get(name);
    if (rate === undefined || !(rate > 0)) throw new Error(`redis-benchmark did not measure ${name}:\n${stdout}`);
    return rate;
  });
}

async function startRedis({ server }: Placement): Promise<{ child: Child; port: number }> {
  const port = await freePort();
  const settings = ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
  return { child: await startForeign(server, port, ["redis-server", ...settings]), port };
}

async function startScript({ server, site }: Placement, name: string): Promise<{ child: Child; port: number }> {
  const child = await Child.start(server, await script(name)(site));
  try {
    return { child, port: numberIn(await child.nextObject(), "port") };
  } catch (error) {
    await child.stop();
    throw error;
  }
}

function subject(
  name: string,
  role: Subject["role"],
  pipeline: number,
  start: (placement: Placement) => Promise<{ child: Child; port: number }>,
): Subject {
  return {
    name,
    role,
    open: async (placement) => {
      const { child, port } = await start(placement);
      /** The number of requests per test with which all tests together take the given time. */
      const fitting = (rates: readonly number[], ms: number): number =>
        Math.max(trial, Math.ceil(ms / 1000 / rates.reduce((sum, rate) => sum + 1 / rate, 0)));
      return {
        measure: async ({ warmupMs, measureMs }) => {
          // A server that is cold at first would make the count too small.
          const cold = await drive(placement, port, pipeline, trial);
          const warm = await drive(placement, port, pipeline, fitting(cold, warmupMs));
          const count = fitting(warm, measureMs);
          const work = (): Promise<number[]> => drive(placement, port, pipeline, count);
          const { result, usages } = await usageOf(placement.load, [child], work);
          const sample: Record<string, number> = {
            [`cpu_us_per_request_p${pipeline}`]: usages[0]!.cpuNs / (count * tests.length) / 1e3,
          };
          for (const [index, [, test]] of tests.entries()) sample[`${test}_per_second_p${pipeline}`] = result[index]!;
          return sample satisfies Sample;
        },
        children: [child],
        [Symbol.asyncDispose]: () => child.stop(),
      };
    },
  };
}

/** @param ofRedis the required share of the rates of redis-server */
function caseOf(pipeline: number, ofRedis: number): Case {
  const rates: readonly Metric[] = tests.map(([, test]) => ({
    name: `${test}_per_second_p${pipeline}`,
    label: `${test}/s`,
    digits: 0,
  }));
  const limits: readonly Limit[] = rates.flatMap(({ name }) => [
    { metric: name, subject: "berkeley", peer: "redis-server", atLeast: ofRedis },
    { metric: name, subject: "berkeley", peer: "node:net", atLeast: 1.3 },
  ]);
  return {
    title: `redis-benchmark, ${clients} clients, ${pipeline === 1 ? "one request at a time" : `${pipeline} at a time`}`,
    metrics: [...rates, { name: `cpu_us_per_request_p${pipeline}`, label: "CPU us/request", digits: 2 }],
    subjects: [
      subject("berkeley", "ours", pipeline, (placement) => startScript(placement, "resp-berkeley")),
      subject("redis-server", "peer", pipeline, startRedis),
      subject("node:net", "peer", pipeline, (placement) => startScript(placement, "resp-node")),
    ],
    limits,
  };
}

export const resp: Workload = { name: "resp", cases: [caseOf(1, 0.85), caseOf(16, 0.6)] };
