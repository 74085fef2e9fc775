// tls: an echo of small messages, and bulk in each direction, over TLS 1.3 with the cipher suite that Node prefers. The
// client of all subjects is a C program with OpenSSL on the other core. A client with node:tls would use more CPU than
// the servers, and would limit the rates.

import { execFile } from "node:child_process";
import { access, mkdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

import { numberIn } from "../lib/children.js";
import { outputs } from "../lib/paths.js";
import { script, served } from "../lib/servers.js";
import { type Usage, usageIn } from "../lib/usage.js";
import type { Case, Metric, Sample, Subject, Workload } from "../lib/workload.js";

const size = 64;
const echoConnections = 64;
const bulkConnections = 4;

type Kind = "echo" | "receive" | "send";

/** Makes a certificate for the servers, once. The clients do not verify it, because that cost is not measured here. */
async function certificate(): Promise<[string, string]> {
  const [cert, key] = [join(outputs, "tls-cert.pem"), join(outputs, "tls-key.pem")];
  if (
    await access(cert).then(
      () => true,
      () => false,
    )
  ) {
    return [cert, key];
  }
  await mkdir(outputs, { recursive: true });
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3650"];
  const files = ["-keyout", `${key}.${process.pid}`, "-out", `${cert}.${process.pid}`];
  await promisify(execFile)("openssl", ["req", "-x509", ...curve, "-subj", "/CN=localhost", ...files]);
  await rename(`${key}.${process.pid}`, key);
  await rename(`${cert}.${process.pid}`, cert);
  return [cert, key];
}

function subject(
  kind: Kind,
  name: string,
  role: Subject["role"],
  server: readonly [string, ...string[]],
  sampleOf: (count: number, usage: Usage) => Sample,
): Subject {
  const connections = kind === "echo" ? echoConnections : bulkConnections;
  return served(
    { name, role },
    async (site) => script(server[0])(site, kind, ...(await certificate()), ...server.slice(1)),
    "tls_load",
    async () => [kind, String(connections), String(size)],
    (line) => sampleOf(numberIn(line, "count"), usageIn(line)),
  );
}

function caseOf(
  kind: Kind,
  title: string,
  metrics: readonly Metric[],
  sampleOf: (count: number, usage: Usage) => Sample,
): Case {
  const [cpu] = metrics;
  const rate = metrics.at(-1)!;
  return {
    title,
    metrics,
    subjects: [
      subject(kind, "berkeley", "ours", ["tls-berkeley"], sampleOf),
      ...(kind === "receive" ? [subject(kind, "berkeley-chunks", "ours", ["tls-berkeley", "chunks"], sampleOf)] : []),
      subject(kind, "node:tls", "peer", ["tls-node"], sampleOf),
    ],
    limits: [
      { metric: rate.name, subject: "berkeley", peer: "node:tls", atLeast: 1 },
      { metric: cpu!.name, subject: "berkeley", peer: "node:tls", atMost: 1 },
    ],
  };
}

function bulk(kind: "receive" | "send", title: string): Case {
  const metrics = [
    { name: `${kind}_cpu_us_per_mb`, label: "CPU us/MB", digits: 1 },
    { name: `${kind}_user_us_per_mb`, label: "user", digits: 1, detail: true },
    { name: `${kind}_mb_per_second`, label: "MB/s", digits: 0 },
  ];
  return caseOf(kind, title, metrics, (bytes, { elapsedNs, cpuNs, userNs }) => ({
    [`${kind}_cpu_us_per_mb`]: cpuNs / (bytes / 1e6) / 1e3,
    [`${kind}_user_us_per_mb`]: userNs / (bytes / 1e6) / 1e3,
    [`${kind}_mb_per_second`]: (bytes / 1e6 / elapsedNs) * 1e9,
  }));
}

const echoMetrics = [
  { name: "tls_cpu_us_per_echo", label: "CPU us/echo", digits: 2 },
  { name: "tls_user_us_per_echo", label: "user", digits: 2, detail: true },
  { name: "tls_echoes_per_second", label: "echoes/s", digits: 0 },
];

export const tls: Workload = {
  name: "tls",
  cases: [
    caseOf(
      "echo",
      `${size}-byte echo over ${echoConnections} TLS connections`,
      echoMetrics,
      (count, { elapsedNs, cpuNs, userNs }) => ({
        tls_cpu_us_per_echo: cpuNs / count / 1e3,
        tls_user_us_per_echo: userNs / count / 1e3,
        tls_echoes_per_second: (count / elapsedNs) * 1e9,
      }),
    ),
    bulk("receive", `a server that receives over ${bulkConnections} TLS connections`),
    bulk("send", `a server that sends over ${bulkConnections} TLS connections`),
  ],
};
