// burst: 1,000 connections at once. It measures how long the last of them waits for its first answer, on a warm server
// and on a new one.

import { Child, type Line, numberIn } from "../lib/children.js";
import { nativeProgram } from "../lib/native.js";
import { otherRuntimes, peerEcho, type PeerName, whyAbsent } from "../lib/peers.js";
import { type Program, native, script } from "../lib/servers.js";
import { median } from "../lib/statistics.js";
import { usageIn } from "../lib/usage.js";
import type { Case, Contender, Metric, Sample, Subject, Workload } from "../lib/workload.js";

const connections = 1000;
/** Bursts for the warm-up of a server. */
const warmUp = 10;
/** Bursts of a warm server that are measured in a window. */
const counted = 5;

const metrics = (state: string): readonly Metric[] => [
  { name: `slowest_ms_${state}`, label: "slowest ms", digits: 1 },
  { name: `p50_ms_${state}`, label: "p50 ms", digits: 1 },
  { name: `burst_cpu_us_per_connection_${state}`, label: "CPU us/connection", digits: 1 },
];

function sampleOf(lines: readonly Line[], state: string): Sample {
  const middle = (value: (line: Line) => number): number => median(lines.map(value));
  return {
    [`slowest_ms_${state}`]: middle((line) => numberIn(line, "worstNs") / 1e6),
    [`p50_ms_${state}`]: middle((line) => numberIn(line, "p50Ns") / 1e6),
    [`burst_cpu_us_per_connection_${state}`]: middle((line) => usageIn(line).cpuNs / numberIn(line, "count") / 1e3),
  };
}

/** A subject whose server runs for the whole round ("warm"), or is started for each window ("cold"). */
function subjectOf(
  state: "warm" | "cold",
  name: string,
  role: Subject["role"],
  program: Program,
  parameters: readonly string[],
  peer?: PeerName,
): Subject {
  const open: Subject["open"] = async (placement) => {
    const start = async (): Promise<{ child: Child; port: number }> => {
      const child = await Child.start(placement.server, await program(placement.site, ...parameters));
      try {
        return { child, port: numberIn(await child.nextObject(), "port") };
      } catch (error) {
        await child.stop();
        throw error;
      }
    };
    const burst = async ({ child, port }: { child: Child; port: number }, bursts: number): Promise<Line[]> => {
      const load = await nativeProgram("burst_load");
      const rest = [port, child.pid, connections, bursts].map(String);
      await using generator = await Child.start(placement.load, [load, ...rest]);
      const lines: Line[] = [];
      while (lines.length < bursts) lines.push(await generator.nextObject(30_000));
      return lines;
    };
    if (state === "cold") {
      const contender: Contender = {
        measure: async () => {
          const server = await start();
          try {
            return sampleOf(await burst(server, 1), state);
          } finally {
            await server.child.stop();
          }
        },
        [Symbol.asyncDispose]: async () => undefined,
      };
      return contender;
    }
    const server = await start();
    let warm = false;
    return {
      measure: async () => {
        const lines = await burst(server, warm ? counted : warmUp + counted);
        const last = lines.slice(-counted);
        warm = true;
        return sampleOf(last, state);
      },
      children: [server.child],
      [Symbol.asyncDispose]: () => server.child.stop(),
    };
  };
  return peer === undefined ? { name, role, open } : { name, role, open, absent: () => whyAbsent(peer) };
}

function caseOf(state: "warm" | "cold"): Case {
  const subject = (
    name: string,
    role: Subject["role"],
    program: Program,
    parameters: readonly string[],
    peer?: PeerName,
  ): Subject => subjectOf(state, name, role, program, parameters, peer);
  return {
    title: `${connections} connections at once, time to the first answer of each; a ${state} server`,
    metrics: metrics(state),
    windows: 2,
    subjects: [
      subject("berkeley", "ours", script("tcp-echo-berkeley"), ["try"]),
      subject("berkeley-stream", "ours", script("stream-echo-berkeley"), ["chunks"]),
      subject("c", "peer", native("tcp_echo_server"), ["et", "sr"]),
      subject("node:net", "peer", script("tcp-echo-node"), []),
      ...otherRuntimes.map(({ name, peer }) => subject(name, "peer", peerEcho(peer), [], peer)),
    ],
    limits:
      state === "warm"
        ? [{ metric: "slowest_ms_warm", subject: "berkeley", peer: "c", atMost: 2 }]
        : [{ metric: "slowest_ms_cold", subject: "berkeley", peer: "node:net", atMost: 1 }],
  };
}

export const burst: Workload = { name: "burst", cases: [caseOf("warm"), caseOf("cold")] };
