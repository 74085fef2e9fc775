// examples/deploy: the program, the units of systemd, and the manifest of Kubernetes.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { connect, listen } from "berkeley";
import { checkLeaks } from "../support/leaks.js";
import { compiled, Program, root } from "../support/program.js";

checkLeaks();

const folder = join(root, "examples", "deploy");
const text = (name: string): string => readFileSync(join(folder, name), "utf8");
/** The number that follows a pattern in a file. */
const numberIn = (name: string, pattern: RegExp): number => Number(pattern.exec(text(name))![1]!.replaceAll("_", ""));
/** Seconds. */
const drain = numberIn("server.ts", /DRAIN_TIMEOUT = ([\d_]+)/) / 1000;

test("the server answers, is replaced on SIGUSR2 and drains on SIGTERM", async () => {
  await using program = Program.node([join(compiled, "examples", "deploy", "server.js"), "tcp://127.0.0.1:0"]);
  const [, first, port] = await program.line(/^process (\d+) serves 127\.0\.0\.1:(\d+)$/);
  const client = await connect(["127.0.0.1", Number(port)]);
  await client.write("hello\n");
  assert.equal(await client.readLine(), `${first} hello`);
  program.kill("SIGUSR2");
  const [, next] = await program.line(/^process (\d+) has taken over$/);
  assert.equal(await client.readLine(), null);
  await client.close();
  const again = await connect(["127.0.0.1", Number(port)]);
  await again.write("hello\n");
  assert.equal(await again.readLine(), `${next} hello`);
  process.kill(Number(next), "SIGTERM");
  assert.equal(await again.readLine(), null);
  await again.close();
  const { status, stderr } = await program.ended;
  assert.deepEqual([status, stderr], [0, ""]);
});

test("the pages answer, and move to the new program with an upgrade", async () => {
  // A port that is free, and the same for both programs.
  const taken = await listen("tcp://127.0.0.1:0");
  const { port } = taken.address;
  await taken.close();
  const pages = `127.0.0.1:${port}`;
  const status = async (path: string): Promise<number> => {
    const response = await fetch(`http://${pages}${path}`, { headers: { connection: "close" } });
    await response.text();
    return response.status;
  };
  const server = join(compiled, "examples", "deploy", "server.js");
  await using program = Program.node([server, "tcp://127.0.0.1:0", `tcp://${pages}`]);
  const [, first, served] = await program.line(/^process (\d+) serves 127\.0\.0\.1:(\d+)$/);
  await program.line(new RegExp(`^process ${first} has its pages at ${pages}$`));
  assert.deepEqual([await status("/healthz"), await status("/readyz"), await status("/metrics")], [200, 200, 200]);
  program.kill("SIGUSR2");
  const [, next] = await program.line(/^process (\d+) has taken over$/);
  await program.line(new RegExp(`^process ${next} has its pages at ${pages}$`));
  assert.equal(await status("/readyz"), 200);
  const client = await connect(["127.0.0.1", Number(served)]);
  await client.write("hello\n");
  assert.equal(await client.readLine(), `${next} hello`);
  process.kill(Number(next), "SIGTERM");
  await client.readLine();
  await client.close();
  await program.ended;
});

test("systemd-analyze finds no fault in the units, and they leave time to drain", (t) => {
  assert.ok(numberIn("lines.service", /^TimeoutStopSec=(\d+)$/m) > drain);
  assert.match(text("lines.service"), /systemd:lines tcp:\/\/127\.0\.0\.1:9090$/m);
  assert.match(text("lines.socket"), /^FileDescriptorName=lines$/m);
  if (spawnSync("systemd-analyze", ["--version"]).error !== undefined)
    return t.skip("systemd-analyze is not installed");
  const units = mkdtempSync(join(tmpdir(), "units-"));
  try {
    // It checks that the program is there.
    writeFileSync(join(units, "lines.service"), text("lines.service").replaceAll("/usr/bin/node", process.execPath));
    writeFileSync(join(units, "lines.socket"), text("lines.socket"));
    const { status, stderr } = spawnSync("systemd-analyze", [
      "verify",
      join(units, "lines.service"),
      join(units, "lines.socket"),
    ]);
    assert.deepEqual([status, stderr.toString()], [0, ""]);
  } finally {
    rmSync(units, { recursive: true });
  }
});

interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string };
}
interface Deployment {
  readonly spec: {
    readonly selector: { readonly matchLabels: object };
    readonly template: {
      readonly spec: {
        readonly containers: readonly [
          {
            readonly command: readonly string[];
            readonly livenessProbe: Probe;
            readonly readinessProbe: Probe;
            readonly ports: readonly object[];
          },
        ];
      };
    };
  };
}
interface Service {
  readonly spec: { readonly selector: object };
}

test("the manifest is YAML with the probes, and a pod has time for preStop and the drain", (t) => {
  const grace = numberIn("kubernetes.yaml", /terminationGracePeriodSeconds: (\d+)/);
  assert.ok(grace > drain + numberIn("kubernetes.yaml", /"sleep", "(\d+)"/));
  if (spawnSync("python3", ["-c", "import yaml"]).status !== 0) return t.skip("python3 has no yaml");
  const read = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
  const output = execFileSync("python3", ["-c", read, join(folder, "kubernetes.yaml")]).toString();
  const [deployment, service] = JSON.parse(output) as [Deployment, Service];
  const [container] = deployment.spec.template.spec.containers;
  assert.deepEqual(container.command.slice(2), ["tcp://0.0.0.0:8888", "tcp://0.0.0.0:9090"]);
  assert.deepEqual(container.livenessProbe.httpGet, { path: "/healthz", port: "metrics" });
  assert.deepEqual(container.readinessProbe.httpGet, { path: "/readyz", port: "metrics" });
  assert.deepEqual(container.ports, [
    { name: "lines", containerPort: 8888 },
    { name: "metrics", containerPort: 9090 },
  ]);
  assert.deepEqual(service.spec.selector, deployment.spec.selector.matchLabels);
});
