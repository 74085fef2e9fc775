// shutdownOn(): in a process of its own, because signals are those of a process.

import assert from "node:assert/strict";
import { test } from "node:test";
import { connect } from "berkeley";
import { Program } from "../support/program.js";
import { fate } from "./support.js";

const SERVER = `
  import { serve } from "berkeley/server";
  const server = await serve("tcp://127.0.0.1:0", async (stream, { draining }) => {
    console.log("handling");
    await new Promise((resolve) => draining.addEventListener("abort", resolve));
    console.log("draining");
    await stream.readLine();
    await stream.write("bye\\n");
  });
  server.shutdownOn(["SIGTERM", "SIGINT"], { timeout: null });
  console.log("port", server.address.port);
  await server.closed;
  console.log("closed", server.stats().aborted);
`;

async function started(): Promise<{ program: Program; port: number }> {
  const program = Program.node(["--input-type=module", "--eval", SERVER]);
  const [, port] = await program.line(/^port (\d+)$/);
  return { program, port: Number(port) };
}

test("a signal drains the server, and the process ends with status 0", async () => {
  const { program, port } = await started();
  await using _ = program;
  await using client = await connect(["127.0.0.1", port]);
  await program.line(/^handling$/);
  program.kill("SIGTERM");
  await program.line(/^draining$/);
  await assert.rejects(connect(["127.0.0.1", port]), { code: "ECONNREFUSED" });
  await client.write("finish\n");
  assert.equal(await fate(client), "end:bye\n");
  await client.close();
  const { status, stdout } = await program.ended;
  assert.equal(status, 0);
  assert.match(stdout, /^closed 0$/m);
});

test("a second signal closes the server at once", async () => {
  const { program, port } = await started();
  await using _ = program;
  await using client = await connect(["127.0.0.1", port]);
  await program.line(/^handling$/);
  program.kill("SIGINT");
  await program.line(/^draining$/);
  program.kill("SIGTERM");
  assert.equal(await fate(client), "ECONNRESET");
  const { status, stdout } = await program.ended;
  assert.equal(status, 0);
  assert.match(stdout, /^closed 1$/m);
});

test("a server that is closed gives the signals their default action back", async () => {
  const program = Program.node([
    "--input-type=module",
    "--eval",
    `import { serve } from "berkeley/server";
    const server = await serve("tcp://127.0.0.1:0", () => undefined);
    server.shutdownOn();
    const during = process.listenerCount("SIGTERM") + process.listenerCount("SIGINT");
    await server.close();
    console.log(during, process.listenerCount("SIGTERM") + process.listenerCount("SIGINT"));`,
  ]);
  await using _ = program;
  assert.equal((await program.ended).stdout, "2 0\n");
});
