// The chat server of docs/servers.md, as a program.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { connect, type Stream } from "berkeley";
import { compiled, Program, root } from "../support/program.js";
import { checkLeaks } from "../support/leaks.js";
import { readToEnd } from "./support.js";

checkLeaks();

async function started(): Promise<{ program: Program; join: (name: string, from?: string) => Promise<Stream> }> {
  const program = Program.node([join(compiled, "examples", "chatServer.js"), "0"]);
  const [, port] = await program.line(/^The chat is at 0\.0\.0\.0:(\d+)$/);
  const enter = async (name: string, from = "127.0.0.1"): Promise<Stream> => {
    const stream = await connect(["127.0.0.1", Number(port)], { localAddress: [from, 0] });
    await stream.write(`${name}\n`);
    return stream;
  };
  return { program, join: enter };
}

/** How a connection ends that the server resets; its first write may get the error. */
async function refusedFate(enter: (name: string) => Promise<Stream>): Promise<string> {
  try {
    await using stream = await enter("sixth");
    return await readToEnd(stream);
  } catch (error) {
    return (error as { code: string }).code;
  }
}

test("the page shows the program, which has 40 lines", () => {
  const text = readFileSync(join(root, "examples", "chatServer.ts"), "utf8");
  assert.ok(readFileSync(join(root, "docs", "servers.md"), "utf8").includes(`\`\`\`ts no-run\n${text}\`\`\``));
  assert.ok(text.split("\n").length - 1 <= 40);
});

test("members send lines, have one nickname each, and get a line when a member leaves", async () => {
  const { program, join: enter } = await started();
  await using _ = program;
  await using ann = await enter("ann");
  assert.equal(await ann.readLine(), "Your nickname?");
  assert.equal(await ann.readLine(), "* ann is here");
  await using bob = await enter("bob");
  assert.equal(await ann.readLine(), "* bob is here");
  assert.equal(await bob.readLine(), "Your nickname?");
  assert.equal(await bob.readLine(), "* bob is here");
  await using second = await enter("ann");
  assert.equal(await readToEnd(second), "end:Your nickname?\nThis nickname is taken\n");
  await using wrong = await enter("\u001b[2J");
  assert.equal(await readToEnd(wrong), "end:Your nickname?\nLetters and digits only\n");
  await bob.write("hello\n");
  assert.equal(await ann.readLine(), "bob: hello");
  // A line above the limit ends this member alone.
  await bob.write("x".repeat(2000));
  assert.equal(await ann.readLine(), "* bob is gone");
});

test("there are 5 connections per address and 100 in all, and further ones wait", async () => {
  const { program, join: enter } = await started();
  await using _ = program;
  const members: Stream[] = [];
  for (let count = 0; count < 100; count++) {
    const member = await enter(`m${count}`, `127.0.0.${1 + Math.floor(count / 5)}`);
    members.push(member);
    assert.equal(await member.readLine(), "Your nickname?");
    if (count === 4) assert.match(await refusedFate(enter), /^(ECONNRESET|EPIPE|end:)$/);
  }
  const waiting = await enter("late", "127.0.0.30");
  await assert.rejects(waiting.readLine({ timeout: 50 }), { code: "ETIMEDOUT" });
  await members[0]!.end();
  assert.equal(await waiting.readLine(), "Your nickname?");
  for (const stream of [...members, waiting]) await stream.close();
});

test("on SIGTERM the members get a notice, and the process ends with status 0", async () => {
  const { program, join: enter } = await started();
  await using _ = program;
  const ann = await enter("ann");
  assert.equal(await ann.readLine(), "Your nickname?");
  assert.equal(await ann.readLine(), "* ann is here");
  program.kill("SIGTERM");
  assert.equal(await readToEnd(ann), "end:* The server stops\n");
  await ann.close();
  assert.equal((await program.ended).status, 0);
});
