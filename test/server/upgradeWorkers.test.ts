// upgrade() of a server with workers: the new program has workers too, and they accept nothing before it is ready.

import assert from "node:assert/strict";
import { test } from "node:test";
import { connect } from "berkeley";
import { serveWorkers, upgrade } from "berkeley/server";
import { checkLeaks } from "../support/leaks.js";
import { Program } from "../support/program.js";
import { handlerModule } from "./workerSupport.js";

checkLeaks();

const PROGRAM = `
const { ready, serveWorkers, upgrade } = await import(process.env.SERVER);
const { GENERATION = "1", HANDLER, LATE = "" } = process.env;
const server = await serveWorkers("tcp://127.0.0.1:0", new URL(HANDLER), { workers: 1 });
// Before the line, after which the test sends the signal.
const hup = GENERATION === "2" ? new Promise((resolve) => process.once("SIGHUP", resolve)) : undefined;
console.log("made " + GENERATION + " " + server.address.port);
if (GENERATION === "2" && LATE !== "") {
  // This generation waits for the clients of the first one.
  await hup;
  if (LATE === "fail") process.exit(3);
}
const env = { ...process.env, GENERATION: "2" };
process.on("SIGUSR2", () => upgrade([server], { env }).then(
  ({ pid }) => console.log("upgraded " + pid),
  ({ code, exitCode }) => console.log("refused " + code + " " + exitCode),
));
server.shutdownOn(["SIGTERM"]);
await ready();
console.log("ready " + GENERATION + " " + process.pid);
await server.closed;
console.log("closed " + GENERATION + " " + server.stats().accepted);
`;

const start = (env: NodeJS.ProcessEnv = {}): Program =>
  Program.node(["--input-type=module", "--eval", PROGRAM], {
    env: { SERVER: import.meta.resolve("berkeley/server"), HANDLER: handlerModule.href, ...env },
  });

async function visit(port: number): Promise<string | null> {
  await using client = await connect(["127.0.0.1", port]);
  await client.write("hello\n");
  return await client.readLine();
}

/** The id of the child process that was started for the upgrade. */
async function childOf(program: Program): Promise<number> {
  const { readFileSync } = await import("node:fs");
  const { pid } = program.child;
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").trim());
}

test("the workers of the new program take over, and none of them accepts before ready()", async () => {
  await using program = start({ LATE: "ready" });
  const port = Number((await program.line(/^made 1 (\d+)$/))[1]);
  await program.line(/^ready 1/);
  program.kill("SIGUSR2");
  assert.equal(Number((await program.line(/^made 2 (\d+)$/))[1]), port);
  for (let visits = 0; visits < 20; visits++) assert.equal(await visit(port), "hello");
  process.kill(await childOf(program), "SIGHUP");
  const [, pid] = await program.line(/^ready 2 (\d+)$/);
  await program.line(/^upgraded/);
  // The first generation has served all of them.
  await program.line(/^closed 1 20$/);
  assert.equal(await visit(port), "hello");
  process.kill(Number(pid), "SIGTERM");
  await program.line(/^closed 2 1$/);
  const { status, stderr } = await program.ended;
  assert.deepEqual([status, stderr], [0, ""]);
});

test("a new program with workers that fails before ready() leaves the old one as it was", async () => {
  await using program = start({ LATE: "fail" });
  const port = Number((await program.line(/^made 1 (\d+)$/))[1]);
  await program.line(/^ready 1/);
  program.kill("SIGUSR2");
  await program.line(/^made 2/);
  process.kill(await childOf(program), "SIGHUP");
  await program.line(/^refused ERR_UPGRADE 3$/);
  assert.equal(await visit(port), "hello");
  program.kill("SIGTERM");
  await program.line(/^closed 1 1$/);
});

test("with reusePort each worker has an accept queue of its own, so upgrade() refuses the server", async () => {
  const server = await serveWorkers("tcp://127.0.0.1:0", handlerModule, { workers: 1, reusePort: true });
  await assert.rejects(upgrade([server]), { name: "TypeError", message: /^Cannot upgrade: a server is/ });
  await server.close();
});
