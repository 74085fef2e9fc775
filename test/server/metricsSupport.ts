// Functions that the tests of metrics share: curl, and the parsers of Prometheus' library for Python.

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import type { MetricsFormat, MetricsServer } from "berkeley/server";
import { Program } from "../support/program.js";

const LIBRARY = "/usr/lib/python3/dist-packages/prometheus_client";

/** Why the tests that need the programs are skipped, or false. In CI they fail instead. */
export function lacking(): string | false {
  const reason = !existsSync(LIBRARY)
    ? "python3-prometheus-client is not installed"
    : spawnSync("curl", ["--version"]).status !== 0
      ? "curl is not installed"
      : false;
  if (reason !== false && process.env["CI"] === "true") throw new Error(reason);
  return reason;
}

/** A sample as the parser has read it. */
export interface Parsed {
  readonly family: string;
  readonly type: string;
  readonly unit: string;
  readonly help: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const PARSE = `
import json, sys
text = sys.stdin.buffer.read().decode("utf-8")
if sys.argv[1] == "openmetrics":
    from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
else:
    from prometheus_client.parser import text_string_to_metric_families as parse
print(json.dumps([
    dict(family=f.name, type=f.type, unit=f.unit, help=f.documentation, name=s.name, labels=s.labels, value=repr(float(s.value)))
    for f in parse(text) for s in f.samples
]))
`;

/** Reads the text with Prometheus' own parser, which throws for a text that breaks the format. */
export async function parse(text: string, format: MetricsFormat): Promise<Parsed[]> {
  // The library is one of Debian's Python, and the first python3 of the PATH may be another.
  await using parser = new Program("/usr/bin/python3", ["-c", PARSE, format], { input: text });
  const { status, stdout, stderr } = await parser.ended;
  if (status !== 0) throw new Error(stderr);
  // JSON has no infinity.
  const samples = JSON.parse(stdout) as (Omit<Parsed, "value"> & { value: string })[];
  return samples.map((sample) => ({ ...sample, value: Number(sample.value.replace("inf", "Infinity")) }));
}

export const valueOf = (samples: readonly Parsed[], name: string, labels: object): number | undefined =>
  samples.find((one) => one.name === name && Object.entries(labels).every(([key, value]) => one.labels[key] === value))
    ?.value;

export interface Page {
  readonly status: number;
  readonly type: string;
  readonly headers: string;
  readonly body: string;
}

/** Gets a page with curl. */
export async function curl(server: MetricsServer, path: string, ...args: string[]): Promise<Page> {
  const unix = server.address.constructor.name === "UnixAddress";
  const place = unix ? ["--unix-socket", (server.address as { path: string }).path, "http://local"] : [];
  const url = `${unix ? place.pop()! : `http://${String(server.address)}`}${path}`;
  await using program = new Program("curl", ["-sS", "-i", "--max-time", "20", ...place, ...args, url]);
  const { status, stdout, stderr } = await program.ended;
  if (status !== 0) throw new Error(`curl: ${status} ${stderr}`);
  const end = stdout.indexOf("\r\n\r\n");
  const headers = stdout.slice(0, end);
  return {
    status: Number(/^HTTP\/1\.1 (\d+)/.exec(headers)![1]),
    type: /^content-type: (.*)$/im.exec(headers)?.[1]?.trim() ?? "",
    headers,
    body: stdout.slice(end + 4),
  };
}
