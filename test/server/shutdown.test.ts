// shutdownOn(). The server runs in a process of its own, because a signal goes to a whole process.

import assert from "node:assert/strict";
import { test } from "node:test";
import { connect } from "berkeley";
import { serve } from "berkeley/server";
import { Program } from "../support/program.js";
import { readToEnd } from "./support.js";

const SERVER = `
  import { serve } from "berkeley/server";
  const server = await serve("tcp://127.0.0.1:0", async (stream, { draining }) => {
    console.log("handling");
    await new Promise((resolve) => draining.addEventListener("abort", resolve));
    console.log("draining");
    await stream.readLine();
    await stream.write("bye\\n");
  });
  // The second call, and a signal that is there twice, change only the options.
  server.shutdownOn(["SIGTERM"], { timeout: 0 });
  server.shutdownOn(["SIGTERM", "SIGINT", "SIGTERM"], { timeout: null });
  if (process.env.DRAINS === "1") process.on("SIGUSR2", () => void server.drain({ timeout: null }));
  console.log("port", server.address.port);
  await server.closed;
  console.log("closed", server.stats().aborted);
`;

async function started(env: NodeJS.ProcessEnv = {}): Promise<{ program: Program; port: number }> {
  const program = Program.node(["--input-type=module", "--eval", SERVER], { env });
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
  assert.equal(await readToEnd(client), "end:bye\n");
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
  assert.equal(await readToEnd(client), "ECONNRESET");
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

test("the first signal drains, also if the program drains already, and the second closes", async () => {
  const { program, port } = await started({ DRAINS: "1" });
  await using _ = program;
  await using client = await connect(["127.0.0.1", port]);
  await program.line(/^handling$/);
  program.kill("SIGUSR2");
  await program.line(/^draining$/);
  program.kill("SIGTERM");
  await client.write("finish\n");
  assert.equal(await readToEnd(client), "end:bye\n");
  await client.close();
  const { status, stdout } = await program.ended;
  assert.equal(status, 0);
  assert.match(stdout, /^closed 0$/m);
});

test("many servers end on a signal, with one listener of the process", async () => {
  const program = Program.node([
    "--input-type=module",
    "--eval",
    `import { serve } from "berkeley/server";
    const servers = [];
    for (let i = 0; i < 12; i++) servers.push(await serve("tcp://127.0.0.1:0", () => undefined));
    for (const server of servers) server.shutdownOn(["SIGTERM"]);
    await servers[0].close();
    // The next registration brings the listener back.
    process.removeAllListeners("SIGTERM");
    servers[1].shutdownOn(["SIGTERM"]);
    console.log("listening", process.listenerCount("SIGTERM"));
    await Promise.all(servers.map(({ closed }) => closed));
    console.log("closed", process.listenerCount("SIGTERM"));`,
  ]);
  await using _ = program;
  await program.line(/^listening 1$/);
  program.kill("SIGTERM");
  const { status, stderr, stdout } = await program.ended;
  assert.deepEqual([status, stderr], [0, ""]);
  assert.match(stdout, /^closed 0$/m);
});

test("a value that is not a signal, and a signal that no process can handle, are refused, and no listener is left", async () => {
  await using server = await serve("tcp://127.0.0.1:0", () => undefined);
  const before = process.listenerCount("SIGTERM");
  for (const signals of [["SIGTREM"], ["SIGTERM", "SIGKILL"], ["SIGSTOP"], ["toString"], "SIGTERM", [15]]) {
    const wrong = signals as NodeJS.Signals[];
    assert.throws(() => server.shutdownOn(wrong), { name: "TypeError", message: /^Cannot shut down on signals/ });
    assert.throws(() => server.upgradeOn(wrong), { name: "TypeError", message: /^Cannot upgrade on signals/ });
  }
  assert.equal(process.listenerCount("SIGTERM"), before);
});
