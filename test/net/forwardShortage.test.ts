// forward() to a name while descriptors are short. The forwarder runs in another process.

import assert from "node:assert/strict";
import { test } from "node:test";
import { connect } from "berkeley";
import { Program } from "../support/program.js";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

const COMMON = `
  import { execFileSync } from "node:child_process";
  import { closeSync, openSync } from "node:fs";
  // Loading the modules needs more.
  const limit = () => execFileSync("prlimit", ["--pid", String(process.pid), "--nofile=64"]);
  const taken = [];
  const takeAll = () => {
    try {
      for (;;) taken.push(openSync("/dev/null", "r"));
    } catch {}
  };
  const give = (count) => { for (const fd of taken.splice(0, count)) closeSync(fd); };
`;

test("forward() to a name serves a client for which there are 1 to 6 descriptors at first", async () => {
  await using program = Program.node(
    [
      "--input-type=module",
      "--eval",
      `
    import { forward, listen } from "berkeley";
    ${COMMON}
    limit();
    const target = await listen("tcp://127.0.0.1:0");
    (async () => {
      for await (const stream of target) {
        (async () => {
          await stream.write(await stream.readLine() + "\\n");
          await stream.end();
        })().catch(() => {}).finally(() => stream.close());
      }
    })();
    const onEnd = ({ error }) => { if (error) console.log("failed", error.code, error.message); };
    const server = await forward("tcp://127.0.0.1:0", "tcp://localhost:" + target.address.port, { reserve: 0, onEnd });
    console.log("port", server.address.port);
    process.stdin.setEncoding("utf8");
    process.stdin.on("data", (text) => {
      for (const [, word, count] of text.matchAll(/(take|give) (\\d+)/g)) {
        if (word === "take") {
          takeAll();
          give(Number(count));
          console.log("taken", count);
        } else {
          // The accept, the pipes and the lookup come first.
          setTimeout(() => {
            give(Infinity);
            console.log("given", count);
          }, 300);
        }
      }
    });
    process.stdin.on("end", () => process.exit());
    `,
    ],
    { openInput: true },
  );
  const [, port] = await program.line(/^port (\d+)$/);
  for (let free = 1; free <= 6; free++) {
    program.child.stdin!.write(`take ${free}\n`);
    await program.line(new RegExp(`^taken ${free}$`));
    await using client = await connect(["127.0.0.1", Number(port)]);
    await client.write(`client ${free}\n`);
    program.child.stdin!.write(`give ${free}\n`);
    assert.equal(await client.readLine({ timeout: 10_000 }), `client ${free}`);
    assert.equal(await client.readLine({ timeout: 10_000 }), null);
    await program.line(new RegExp(`^given ${free}$`));
  }
  program.child.stdin!.end();
  const { stdout } = await program.ended;
  assert.doesNotMatch(stdout, /failed/);
});
