// echo-1000: the echo of tcp-echo over 1,000 and over 5,000 connections. It measures CPU and latency, and how fairly
// the server serves the connections: the fewest, the median and the most replies of one connection.

import { type Line, numberIn } from "../lib/children.js";
import { descriptorLimit } from "../lib/memory.js";
import { otherRuntimes, peerEcho, type PeerName, whyAbsent } from "../lib/peers.js";
import { type Program, native, script, served } from "../lib/servers.js";
import { usageIn } from "../lib/usage.js";
import type { Case, Limit, Metric, Sample, Subject, Workload } from "../lib/workload.js";

const size = 64;
/** Descriptors of the load generator besides its connections. */
const spare = 100;

const metrics = (times: string): readonly Metric[] => [
  { name: `cpu_us_per_echo_${times}`, label: "CPU us/echo", digits: 2 },
  { name: `echoes_per_second_${times}`, label: "echoes/s", digits: 0 },
  { name: `p50_ms_${times}`, label: "p50 ms", digits: 2, detail: true },
  { name: `p99_ms_${times}`, label: "p99 ms", digits: 1 },
  { name: `p999_ms_${times}`, label: "p99.9 ms", digits: 1, detail: true },
  { name: `worst_ms_${times}`, label: "worst ms", digits: 1 },
  { name: `least_per_second_${times}`, label: "least/s", digits: 1, detail: true },
  { name: `median_per_second_${times}`, label: "median/s", digits: 1, detail: true },
  { name: `most_per_second_${times}`, label: "most/s", digits: 1, detail: true },
  { name: `least_of_median_${times}`, label: "least / median", digits: 2 },
];

function sampleOf(line: Line, times: string): Sample {
  const echoes = numberIn(line, "count");
  const usage = usageIn(line);
  const perSecond = (name: string): number => (numberIn(line, name) / usage.elapsedNs) * 1e9;
  return {
    [`cpu_us_per_echo_${times}`]: usage.cpuNs / echoes / 1e3,
    [`echoes_per_second_${times}`]: (echoes / usage.elapsedNs) * 1e9,
    [`p50_ms_${times}`]: numberIn(line, "p50Ns") / 1e6,
    [`p99_ms_${times}`]: numberIn(line, "p99Ns") / 1e6,
    [`p999_ms_${times}`]: numberIn(line, "p999Ns") / 1e6,
    [`worst_ms_${times}`]: numberIn(line, "worstNs") / 1e6,
    [`least_per_second_${times}`]: perSecond("leastServed"),
    [`median_per_second_${times}`]: perSecond("medianServed"),
    [`most_per_second_${times}`]: perSecond("mostServed"),
    [`least_of_median_${times}`]: numberIn(line, "leastServed") / Math.max(1, numberIn(line, "medianServed")),
  };
}

function caseOf(connections: number, hasLimits: boolean): Case {
  const times = `x${connections}`;
  const subject = (
    name: string,
    role: Subject["role"],
    program: Program,
    parameters: string[],
    peer?: PeerName,
  ): Subject =>
    served(
      {
        name,
        role,
        absent: async () => {
          const limit = await descriptorLimit();
          if (limit < connections + spare) return `${connections} connections need more than ${limit} descriptors`;
          return peer === undefined ? undefined : whyAbsent(peer);
        },
      },
      (site) => program(site, ...parameters),
      "tcp_echo_load",
      async () => [String(connections), String(size)],
      (line) => sampleOf(line, times),
    );
  const limits: readonly Limit[] = [
    { metric: `cpu_us_per_echo_${times}`, subject: "berkeley", peer: "c", atMost: 1.12 },
    { metric: `cpu_us_per_echo_${times}`, subject: "berkeley-recv", peer: "c", atMost: 1.2 },
    { metric: `p99_ms_${times}`, subject: "berkeley", peer: "c", atMost: 1.3 },
    { metric: `worst_ms_${times}`, subject: "berkeley", peer: "c", atMost: 2 },
    { metric: `least_of_median_${times}`, subject: "berkeley", atLeast: 0.8 },
  ];
  return {
    title: `${size}-byte echo over ${connections.toLocaleString("en")} TCP connections`,
    metrics: metrics(times),
    // Few and long windows, because a reply takes some ms here.
    windows: 2,
    // Each window makes its connections anew. The figures are those of the steady state behind that.
    leastWarmupMs: 1000,
    subjects: [
      subject("berkeley", "ours", script("tcp-echo-berkeley"), ["try"]),
      subject("berkeley-recv", "ours", script("tcp-echo-berkeley"), ["recv"]),
      subject("berkeley-stream", "ours", script("stream-echo-berkeley"), ["into"]),
      subject("c", "peer", native("tcp_echo_server"), ["et", "sr"]),
      subject("node:net", "peer", script("tcp-echo-node"), []),
      ...otherRuntimes.map(({ name, peer }) => subject(name, "peer", peerEcho(peer), [], peer)),
    ],
    limits: hasLimits ? limits : [],
  };
}

export const echo1000: Workload = { name: "echo-1000", cases: [caseOf(1000, true), caseOf(5000, false)] };
