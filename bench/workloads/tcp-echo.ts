// tcp-echo: 64-byte messages echoed over 64 connections, one outstanding on each. It measures the cost of a small
// request and reply: two system calls, and the code around them.

import { type Line, numberIn } from "../lib/children.js";
import { otherRuntimes, peerEcho, whyAbsent } from "../lib/peers.js";
import { type Program, native, script, served } from "../lib/servers.js";
import { usageIn } from "../lib/usage.js";
import type { Metric, Sample, Subject, Workload } from "../lib/workload.js";

const connections = 64;
const size = 64;

/** The metrics of an echo, here and in other workloads. */
export const echoMetrics: readonly Metric[] = [
  { name: "cpu_us_per_echo", label: "CPU us/echo", digits: 2 },
  { name: "user_us_per_echo", label: "user", digits: 2, detail: true },
  { name: "system_us_per_echo", label: "system", digits: 2, detail: true },
  { name: "echoes_per_second", label: "echoes/s", digits: 0 },
  { name: "latency_p50_us", label: "p50 us", digits: 0, detail: true },
  { name: "latency_p99_us", label: "p99 us", digits: 0, detail: true },
];

/** The title of the case of tcp-echo. */
export const echoTitle: string = `${size}-byte echo over ${connections} TCP connections`;

function sampleOf(line: Line): Sample {
  const echoes = numberIn(line, "count");
  const usage = usageIn(line);
  return {
    cpu_us_per_echo: usage.cpuNs / echoes / 1e3,
    user_us_per_echo: usage.userNs / echoes / 1e3,
    system_us_per_echo: usage.systemNs / echoes / 1e3,
    echoes_per_second: (echoes / usage.elapsedNs) * 1e9,
    latency_p50_us: numberIn(line, "p50Ns") / 1e3,
    latency_p99_us: numberIn(line, "p99Ns") / 1e3,
  };
}

const load = async (): Promise<string[]> => [String(connections), String(size)];

/** Makes a subject with an echo server. */
export function echoSubject(name: string, role: Subject["role"], program: Program, ...parameters: string[]): Subject {
  return served({ name, role }, (site) => program(site, ...parameters), "tcp_echo_load", load, sampleOf);
}

/** The echo servers of other runtimes. */
export const echoPeers: readonly Subject[] = otherRuntimes.map(({ name, peer }) => {
  const identity = { name, role: "peer", absent: () => whyAbsent(peer) } as const;
  return served(identity, (site) => peerEcho(peer)(site), "tcp_echo_load", load, sampleOf);
});

export const tcpEcho: Workload = {
  name: "tcp-echo",
  cases: [
    {
      title: echoTitle,
      metrics: echoMetrics,
      subjects: [
        echoSubject("berkeley", "ours", script("tcp-echo-berkeley"), "try"),
        echoSubject("berkeley-send", "ours", script("tcp-echo-berkeley"), "send"),
        echoSubject("berkeley-recv", "ours", script("tcp-echo-berkeley"), "recv"),
        echoSubject("c", "peer", native("tcp_echo_server"), "et", "sr"),
        echoSubject("node:net", "peer", script("tcp-echo-node")),
        ...echoPeers,
        echoSubject("c-lt-rw", "variant", native("tcp_echo_server"), "lt", "rw"),
        echoSubject("c-lt-sr", "variant", native("tcp_echo_server"), "lt", "sr"),
        echoSubject("c-et-rw", "variant", native("tcp_echo_server"), "et", "rw"),
        echoSubject("c-et-sr", "variant", native("tcp_echo_server"), "et", "sr"),
        echoSubject("c-nested", "variant", native("tcp_echo_server"), "nested", "sr"),
      ],
      limits: [
        { metric: "cpu_us_per_echo", subject: "berkeley", peer: "c", atMost: 1.08 },
        { metric: "cpu_us_per_echo", subject: "berkeley", peer: "bun", atMost: 1 },
        { metric: "cpu_us_per_echo", subject: "berkeley", peer: "node:net", atMost: 0.7 },
      ],
    },
  ],
};
