// upgrade() of a program with pages for metrics and health: the pages stay at their port, and belong to one program at
// a time.

import assert from "node:assert/strict";
import { test } from "node:test";
import { connect } from "berkeley";
import { checkLeaks } from "../support/leaks.js";
import { Program } from "../support/program.js";

checkLeaks();

const PROGRAM = `
const { ready, serve, serveMetrics, upgrade } = await import(process.env.SERVER);
const { GENERATION = "1" } = process.env;
console.log("pid " + GENERATION + " " + process.pid);
const server = await serve("tcp://127.0.0.1:0", async (stream) => void (await stream.readLine()));
const metrics = await serveMetrics("tcp://127.0.0.1:0", {
  servers: { lines: server },
  collect: () => "# TYPE generation gauge\\ngeneration " + GENERATION + "\\n",
});
// Before the line, after which the test sends the signal.
const hup = GENERATION === "2" ? new Promise((resolve) => process.once("SIGHUP", resolve)) : undefined;
console.log("made " + GENERATION + " " + server.address.port + " " + metrics.address.port);
await hup;
if (process.env.FAILS === GENERATION) process.exit(3);
const env = { ...process.env, GENERATION: "2" };
process.on("SIGUSR2", () => upgrade([server, metrics], { env }).then(
  ({ drained }) => drained.then(() => console.log("drained")),
  ({ code }) => console.log("refused " + code),
));
process.on("SIGTERM", () => void server.close());
await ready();
console.log("ready " + GENERATION);
await server.closed;
await metrics.close();
`;

const start = (env: NodeJS.ProcessEnv): Program =>
  Program.node(["--input-type=module", "--eval", PROGRAM], {
    env: { SERVER: import.meta.resolve("berkeley/server"), ...env },
  });

async function page(port: number, path: string): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers: { connection: "close" } });
  return `${response.status} ${await response.text()}`;
}

test("the pages of the new program answer from ready() on, at the same port", async () => {
  await using program = start({});
  const [, port, pages] = (await program.line(/^made 1 (\d+) (\d+)$/)).map(Number) as [number, number, number];
  await program.line(/^ready 1$/);
  await using client = await connect(["127.0.0.1", port]);
  program.kill("SIGUSR2");
  assert.deepEqual((await program.line(/^made 2 (\d+) (\d+)$/)).slice(1), [String(port), String(pages)]);
  for (let times = 0; times < 10; times++) assert.match(await page(pages, "/metrics"), /^generation 1$/m);
  const second = Number((await program.line(/^pid 2 (\d+)$/))[1]);
  process.kill(second, "SIGHUP");
  await program.line(/^ready 2$/);
  // The old program drains: it waits for the client.
  for (let times = 0; times < 10; times++) {
    assert.match(await page(pages, "/metrics"), /^generation 2$/m);
    assert.equal(await page(pages, "/readyz"), "200 ready\n");
  }
  await client.write("done\n");
  await client.close();
  await program.line(/^drained$/);
  process.kill(second, "SIGTERM");
  assert.equal((await program.ended).stderr, "");
});

test("a new program that fails leaves the pages of the old one", async () => {
  await using program = start({ FAILS: "2" });
  const [, , pages] = (await program.line(/^made 1 (\d+) (\d+)$/)).map(Number) as [number, number, number];
  await program.line(/^ready 1$/);
  program.kill("SIGUSR2");
  await program.line(/^made 2/);
  process.kill(Number((await program.line(/^pid 2 (\d+)$/))[1]), "SIGHUP");
  await program.line(/^refused ERR_UPGRADE$/);
  assert.equal(await page(pages, "/readyz"), "200 ready\n");
  program.kill("SIGTERM");
  assert.equal((await program.ended).status, 0);
});
