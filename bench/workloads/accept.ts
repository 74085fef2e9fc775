// accept: connect, 4 bytes there and back, close. It measures the cost of a connection for the server, with 1 and with
// 64 at a time. The servers are those of the echo.

import { type Line, numberIn } from "../lib/children.js";
import { otherRuntimes, peerEcho, type PeerName, whyAbsent } from "../lib/peers.js";
import { type Program, native, script, served } from "../lib/servers.js";
import { usageIn } from "../lib/usage.js";
import type { Case, Metric, Sample, Subject, Workload } from "../lib/workload.js";

const metrics = (times: string): readonly Metric[] => [
  { name: `cpu_us_per_connection_${times}`, label: "CPU us/connection", digits: 1 },
  { name: `user_us_per_connection_${times}`, label: "user", digits: 1, detail: true },
  { name: `system_us_per_connection_${times}`, label: "system", digits: 1, detail: true },
  { name: `connections_per_second_${times}`, label: "connections/s", digits: 0 },
  { name: `latency_p50_us_${times}`, label: "p50 us", digits: 0, detail: true },
  { name: `latency_p99_us_${times}`, label: "p99 us", digits: 0 },
];

function sampleOf(line: Line, times: string): Sample {
  const count = numberIn(line, "count");
  const usage = usageIn(line);
  return {
    [`cpu_us_per_connection_${times}`]: usage.cpuNs / count / 1e3,
    [`user_us_per_connection_${times}`]: usage.userNs / count / 1e3,
    [`system_us_per_connection_${times}`]: usage.systemNs / count / 1e3,
    [`connections_per_second_${times}`]: (count / usage.elapsedNs) * 1e9,
    [`latency_p50_us_${times}`]: numberIn(line, "p50Ns") / 1e3,
    [`latency_p99_us_${times}`]: numberIn(line, "p99Ns") / 1e3,
  };
}

function caseOf(atATime: number): Case {
  const times = `x${atATime}`;
  const subject = (
    name: string,
    role: Subject["role"],
    program: Program,
    parameters: string[],
    peer?: PeerName,
  ): Subject =>
    served(
      peer === undefined ? { name, role } : { name, role, absent: () => whyAbsent(peer) },
      (site) => program(site, ...parameters),
      "accept_load",
      async () => [String(atATime)],
      (line) => sampleOf(line, times),
    );
  return {
    title: `connect, 4 bytes there and back, close; ${atATime === 1 ? "one" : atATime} at a time`,
    metrics: metrics(times),
    subjects: [
      subject("berkeley", "ours", script("tcp-echo-berkeley"), ["try"]),
      subject("berkeley-recv", "ours", script("tcp-echo-berkeley"), ["recv"]),
      subject("berkeley-stream", "ours", script("stream-echo-berkeley"), ["chunks"]),
      subject("berkeley-serve", "ours", script("serve-echo-berkeley"), ["serve"]),
      subject("c", "peer", native("tcp_echo_server"), ["et", "sr"]),
      subject("node:net", "peer", script("tcp-echo-node"), []),
      ...otherRuntimes.map(({ name, peer }) => subject(name, "peer", peerEcho(peer), [], peer)),
      subject("c-nested", "variant", native("tcp_echo_server"), ["nested", "sr"]),
    ],
    limits: [
      { metric: `cpu_us_per_connection_${times}`, subject: "berkeley", peer: "c", atMost: 1.6 },
      { metric: `cpu_us_per_connection_${times}`, subject: "berkeley", peer: "bun", atMost: 1 },
      { metric: `cpu_us_per_connection_${times}`, subject: "berkeley", peer: "node:net", atMost: 0.55 },
    ],
  };
}

export const accept: Workload = { name: "accept", cases: [caseOf(1), caseOf(64)] };
