// The output of short programs that do not catch an error: a short text with the line of the program, the address and
// the text of the system. The golden files are in test/socket/uncaught/. `GOLDEN=update` writes them.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";

const golden = fileURLToPath(new URL("../../../test/socket/uncaught/", import.meta.url));
const entry = import.meta.resolve("berkeley");
const folder = mkdtempSync(join(tmpdir(), "berkeley-uncaught-"));
after(() => rmSync(folder, { recursive: true }));

/** The longest output, in lines. */
const MAX_LINES = 15;

const PROGRAMS: Readonly<Record<string, string>> = {
  refused: `import { connect } from "berkeley";

async function main() {
  const stream = await connect("tcp://127.0.0.1:1", { timeout: 5_000 });
  await stream.write("hello\\n");
}

await main();
`,
  reset: `import { connect, listen } from "berkeley";

const listener = await listen("tcp://127.0.0.1:0");
const client = await connect(\`tcp://\${listener.address}\`);
const server = await listener.accept();
client.conn.abort();

const line = await server.readLine();
console.log(line);
`,
  timeout: `import { connect, listen } from "berkeley";

const listener = await listen("tcp://127.0.0.1:0");
const client = await connect(\`tcp://\${listener.address}\`);

async function answer() {
  return client.readLine({ timeout: 20 });
}
console.log(await answer());
`,
  permission: `import { Socket, AF_INET, SOCK_RAW } from "berkeley";

process.setuid(65_534);
function sniffer() {
  return new Socket(AF_INET, SOCK_RAW, 1);
}

const socket = sniffer();
console.log(await socket.recv(1_500));
`,
  portInUse: `import { listen } from "berkeley";

const first = await listen("tcp://127.0.0.1:0");
async function second() {
  return listen(\`tcp://\${first.address}\`);
}

const listener = await second();
console.log(listener.address);
`,
  unknownHost: `import { connect } from "berkeley";

async function main() {
  const stream = await connect("tcp://no-such-host.invalid:80");
  await stream.write("hello\\n");
}

await main();
`,
  badOption: `import { connect } from "berkeley";

async function main() {
  const stream = await connect("tcp://127.0.0.1:1", { timout: 5_000 });
  await stream.write("hello\\n");
}

await main();
`,
};

/**
 * The output without what differs between runs and machines: the folders, the ports, and the lines of Node's scripts.
 */
function normal(text: string): string {
  return text
    .replaceAll(`file://${folder}/`, "")
    .replaceAll(/(?:file:\/\/)?\/\S*\/(?:dist|out\/lib)\/\S*/g, "PACKAGE")
    .replaceAll(/(127\.0\.0\.1):(?!1\b)\d+/g, "$1:PORT")
    .replaceAll(/(port: )\d{2,}/g, "$1PORT")
    .replaceAll(/node:internal\/\S+/g, "NODE")
    .replaceAll(/Node\.js v\d+\S*/g, "Node.js VERSION")
    .trimEnd();
}

for (const [name, source] of Object.entries(PROGRAMS)) {
  const skip = name === "permission" && process.getuid?.() !== 0 ? "needs root, to give its rights up" : false;
  test(`an uncaught error of the program "${name}" is short and names the line of the program`, { skip }, () => {
    const file = join(folder, `${name}.mjs`);
    writeFileSync(file, source.replace('"berkeley"', JSON.stringify(entry)));
    const { stderr, status } = spawnSync(process.execPath, [file], { encoding: "utf8", timeout: 60_000 });
    assert.notEqual(status, 0);
    assert.match(stderr, new RegExp(`${name}\\.mjs:\\d+:\\d+`), stderr);
    const text = normal(stderr);
    const lines = text.split("\n").length;
    assert.ok(lines <= MAX_LINES, `${lines} lines, required at most ${MAX_LINES}:\n${stderr}`);
    // Only the messages of arguments have lines that differ between versions of Node.
    const kept =
      name === "badOption"
        ? text.split("\n").filter((line) => /^TypeError|badOption/.test(line))
        : text.split("\n").slice(3);
    const found = `${kept.join("\n").trim()}\n`;
    const path = join(golden, `${name}.txt`);
    if (process.env.GOLDEN === "update") {
      mkdirSync(golden, { recursive: true });
      writeFileSync(path, found);
    }
    assert.equal(found, readFileSync(path, "utf8"));
  });
}
