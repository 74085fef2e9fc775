// sendfile: a file in the page cache, sent again and again over four connections.

import { type Line, numberIn } from "../lib/children.js";
import type { Site } from "../lib/machine.js";
import { patternFile } from "../lib/native.js";
import { type Program, native, script, served } from "../lib/servers.js";
import { usageIn } from "../lib/usage.js";
import type { Metric, Sample, Subject, Workload } from "../lib/workload.js";

/** The size of the sent file, here and in other workloads. */
export const fileSize = 64 * 1024 * 1024;
const connections = 4;

/** The metrics of workloads that move bytes. */
export const byteMetrics: readonly Metric[] = [
  { name: "cpu_us_per_mb", label: "CPU us/MB", digits: 1 },
  { name: "user_us_per_mb", label: "user", digits: 1, detail: true },
  { name: "system_us_per_mb", label: "system", digits: 1, detail: true },
  { name: "mb_per_second", label: "MB/s", digits: 0 },
];

/** Computes these metrics from the line of a load generator that counted bytes. */
export function byteSample(line: Line): Sample {
  const megabytes = numberIn(line, "bytes") / 1e6;
  const usage = usageIn(line);
  return {
    cpu_us_per_mb: usage.cpuNs / megabytes / 1e3,
    user_us_per_mb: usage.userNs / megabytes / 1e3,
    system_us_per_mb: usage.systemNs / megabytes / 1e3,
    mb_per_second: (megabytes / usage.elapsedNs) * 1e9,
  };
}

function subject(name: string, role: Subject["role"], program: Program): Subject {
  const server = async (site: Site): ReturnType<Program> => program(site, await patternFile(fileSize));
  const load = async (): Promise<string[]> => [await patternFile(fileSize), String(connections)];
  return served({ name, role }, server, "sendfile_load", load, byteSample);
}

export const sendfile: Workload = {
  name: "sendfile",
  cases: [
    {
      title: `a file of ${fileSize / 1024 / 1024} MiB from the page cache over ${connections} TCP connections`,
      metrics: byteMetrics,
      subjects: [
        subject("berkeley", "ours", script("sendfile-berkeley")),
        subject("c", "peer", native("sendfile_server")),
        subject("node:fs", "peer", script("sendfile-node")),
      ],
      limits: [{ metric: "cpu_us_per_mb", subject: "berkeley", peer: "c", atMost: 1.05 }],
    },
  ],
};
