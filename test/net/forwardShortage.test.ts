// forward() to a name while descriptors are short. The forwarder runs in another process.

import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, listen } from "berkeley";
import { Program } from "../support/program.js";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

/**
 * A program that forwards to a name. It opens all descriptors but some after "take COUNT" on its standard input, and
 * closes them after "give". `connectOptions` is the text of the option `connect`.
 */
const forwarder = (target: number, connectOptions: string): string => `
  import { execFileSync } from "node:child_process";
  import { closeSync, openSync } from "node:fs";
  import { AF_INET, AI_NUMERICHOST, forward, getaddrinfo } from "berkeley";
  const unknownName = await getaddrinfo("localhost", 80, { flags: AI_NUMERICHOST }).catch((error) => error);
  const failingResolver = (failures) => () => {
    if (failures-- > 0) throw unknownName;
    return ["127.0.0.1"];
  };
  // Set after the imports, because loading the modules needs more descriptors.
  execFileSync("prlimit", ["--pid", String(process.pid), "--nofile=64"]);
  const opened = [];
  const close = (count) => { for (const fd of opened.splice(0, count)) closeSync(fd); };
  const server = await forward("tcp://127.0.0.1:0", "tcp://localhost:${target}", {
    connect: ${connectOptions},
    reserve: 0,
    onEnd: ({ error }) => { if (error) console.log("failed", error.code); },
    onPressure: ({ state, code }) => console.log("shortage", state, code),
  });
  console.log("port", server.address.port);
  process.stdin.setEncoding("utf8");
  process.stdin.on("data", (text) => {
    const [word, count] = text.trim().split(" ");
    if (word === "take") {
      try {
        for (;;) opened.push(openSync("/dev/null", "r"));
      } catch {}
      close(Number(count));
    } else close(Infinity);
    console.log(word);
  });
  process.stdin.on("end", () => process.exit());
`;

function start(target: number, connectOptions: string = "{}"): Program {
  const args = ["--input-type=module", "--eval", forwarder(target, connectOptions)];
  return Program.node(args, { openInput: true });
}

for (let free = 1; free <= 6; free++) {
  test(`forward() to a name serves a client for which there are ${free} descriptors at first`, async () => {
    await using target = await listen("tcp://127.0.0.1:0");
    await using program = start(target.address.port);
    const [, port] = await program.line(/^port (\d+)$/);
    program.child.stdin!.write(`take ${free}\n`);
    await program.line(/^take$/);
    await using client = await connect(["127.0.0.1", Number(port)]);
    await client.write("request\n");
    const accepted = target.accept({ timeout: 10_000 });
    // With few descriptors the forwarder meets the shortage. With more of them it connects to the target.
    await Promise.race([program.line(/^shortage begin EMFILE$/), accepted]);
    program.child.stdin!.write("give\n");
    await using server = await accepted;
    assert.equal(await server.readLine({ timeout: 10_000 }), "request");
    await server.write("answer\n");
    await server.closeWrite();
    assert.equal(await client.readLine({ timeout: 10_000 }), "answer");
    assert.equal(await client.readLine({ timeout: 10_000 }), null);
    await program.line(/^give$/);
    program.child.stdin!.end();
    const { stdout } = await program.ended;
    assert.doesNotMatch(stdout, /failed/);
  });
}

// While a lookup runs, other threads may open and close the last descriptor. Then the C library reports that the name is
// unknown, and the addon finds no shortage after the lookup.
for (const [failures, outcome] of [
  [5, "serves"],
  [6, "resets"],
] as const) {
  test(`forward() ${outcome} a client whose lookup fails ${failures} times during a shortage`, async () => {
    await using target = await listen("tcp://127.0.0.1:0");
    await using program = start(target.address.port, `{ family: AF_INET, resolver: failingResolver(${failures}) }`);
    const [, port] = await program.line(/^port (\d+)$/);
    program.child.stdin!.write("take 1\n");
    await program.line(/^take$/);
    await using client = await connect(["127.0.0.1", Number(port)]);
    await program.line(/^shortage begin EMFILE$/);
    program.child.stdin!.write("give\n");
    if (outcome === "serves") {
      await using server = await target.accept({ timeout: 10_000 });
      await server.write("hello\n");
      assert.equal(await client.readLine({ timeout: 10_000 }), "hello");
    } else {
      await assert.rejects(client.read({ timeout: 10_000 }), { code: "ECONNRESET" });
      await program.line(/^failed EAI_NONAME$/);
    }
    program.child.stdin!.end();
    await program.ended;
  });
}
