// Commands on a terminal: colors, escapes, typing, Ctrl-C, Ctrl-D, progress and a change of its size.
import assert from "node:assert/strict";
import { truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { listen, type SocketListener } from "berkeley";
import { checkLeaks } from "../support/leaks.js";
import { Program, root } from "../support/program.js";
import { randomFile, temporaryFolder } from "./peers.js";
import { MAIN } from "./support.js";

checkLeaks();

const folder = temporaryFolder("terminal");

type Step =
  | { readonly expect: string }
  | { readonly type: string }
  | { readonly resize: readonly [rows: number, columns: number] }
  | { readonly signal: string };

interface Shown {
  readonly output: string;
  readonly status: number;
  readonly restored: boolean;
  readonly missing?: string;
}

interface TerminalOptions {
  /** Which of standard input, output and error are the terminal: letters of "ioe". */
  readonly which?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** A command of the shell instead of ours; "$@" is ours. */
  readonly script?: string;
}

async function onTerminal(
  args: readonly string[],
  steps: readonly Step[],
  options: TerminalOptions = {},
): Promise<Shown> {
  const { which = "ioe", env = {}, script } = options;
  const command = [process.execPath, MAIN, ...args];
  const words = script === undefined ? command : ["/bin/sh", "-c", script, "sh", ...command];
  const python = join(root, "test", "cli", "terminal.py");
  await using program = new Program("python3", [python, JSON.stringify(steps), which, ...words], {
    env: { TERM: "xterm", NO_COLOR: "", ...env },
  });
  const { stdout, stderr } = await program.ended;
  const shown = JSON.parse(stdout || `{"output": ${JSON.stringify(stderr)}}`) as Shown;
  assert.equal(shown.missing, undefined, shown.output);
  return shown;
}

async function server(): Promise<SocketListener & { endpoint: string }> {
  const listener = await listen("tcp://127.0.0.1:0");
  return Object.assign(listener, { endpoint: `tcp://${String(listener.address)}` });
}

test("typed lines are sent one by one, Ctrl-D half-closes, and the answer is printed", async () => {
  await using listener = await server();
  const shown = onTerminal(
    ["connect", listener.endpoint],
    [{ type: "hello\r" }, { expect: "got hello" }, { type: "\u0004" }, { expect: "bye" }],
  );
  await using stream = await listener.accept();
  await stream.write(`got ${await stream.readLine()}\n`);
  assert.equal(await stream.read(), null);
  await stream.write("bye\n");
  await stream.close();
  const { status, restored } = await shown;
  assert.deepEqual({ status, restored }, { status: 0, restored: true });
});

test("control characters of a peer are shown as escapes on a terminal", async () => {
  await using listener = await server();
  const shown = onTerminal(["connect", listener.endpoint], [{ expect: "end" }]);
  await using stream = await listener.accept();
  const nasty = "\u001b]0;title\u0007\u001b[2J\r over\u009b1m\u202e\u0000\u007f tab\tend\r\nnext\r\n";
  await stream.write(Buffer.concat([Buffer.from("ü€😀"), Buffer.from([0xff, 0xc3]), Buffer.from(nasty)]));
  await stream.close();
  const { output } = await shown;
  assert.ok(
    output.startsWith(
      "ü€😀\\xff\\xc3\\x1b]0;title\\x07\\x1b[2J\\x0d over\\x9b1m\\u{202e}\\x00\\x7f tab\tend\r\nnext\r\n",
    ),
    JSON.stringify(output),
  );
});

test("a peer that finishes ends a conversation at a terminal at once", async () => {
  await using listener = await server();
  const shown = onTerminal(["connect", listener.endpoint], []);
  await using stream = await listener.accept();
  await stream.close();
  const { status, restored } = await shown;
  assert.deepEqual({ status, restored }, { status: 0, restored: true });
});

test("Ctrl-C typed at the terminal ends connect with 130 and the terminal as it was", async () => {
  await using listener = await server();
  const shown = onTerminal(["connect", listener.endpoint, "-v"], [{ expect: "connected to" }, { type: "\u0003" }]);
  await using stream = await listener.accept();
  await assert.rejects(async () => assert.equal(await stream.read(), "a reset"));
  const { status, restored } = await shown;
  assert.deepEqual({ status, restored }, { status: 130, restored: true });
});

test("Ctrl-C ends listen and the servers; the totals are printed", async () => {
  const waiting = await onTerminal(["listen", "0"], [{ expect: "listening on" }, { type: "\u0003" }]);
  assert.deepEqual([waiting.status, waiting.restored], [130, true]);
  const echo = await onTerminal(
    ["echo", "0"],
    [{ expect: "listening on" }, { type: "\u0003" }, { expect: "total: 0" }],
  );
  assert.deepEqual([echo.status, echo.restored], [0, true]);
});

test("colors are used on a terminal only, unless --color says otherwise", async () => {
  const escape = "\u001b[";
  const args = ["steps", "--once", "--port", "0"];
  assert.ok((await onTerminal(args, [])).output.includes(`${escape}1m`));
  assert.ok(!(await onTerminal(args, [], { env: { NO_COLOR: "1" } })).output.includes(escape));
  assert.ok(!(await onTerminal(args, [], { env: { TERM: "dumb" } })).output.includes(escape));
  assert.ok(!(await onTerminal([...args, "--color", "never"], [])).output.includes(escape));
  assert.ok(!(await onTerminal([...args, "--json"], [])).output.includes(escape));
  const piped = { script: '"$@" | cat' };
  assert.ok(!(await onTerminal(args, [], piped)).output.includes(escape));
  assert.ok((await onTerminal([...args, "--color", "always"], [], piped)).output.includes(`${escape}1m`));
});

test("help is as wide as the terminal", async () => {
  const narrow = await onTerminal(["echo", "--help"], [], { script: 'stty cols 60; "$@"' });
  for (const line of narrow.output.split("\r\n")) {
    if (!line.includes("berkeley ")) assert.ok(line.length <= 60, line);
  }
});

test("the progress of a file is one line with bytes, rate and time left, follows the width, and is removed", async () => {
  const path = join(folder, "file");
  writeFileSync(path, "");
  truncateSync(path, 500_000_000);
  await using listener = await server();
  const shown = onTerminal(
    ["connect", listener.endpoint],
    [{ expect: " left" }, { resize: [24, 30] }, { expect: ">              " }, { signal: "INT" }],
    { which: "e", script: `exec "$@" < '${path}' > /dev/null` },
  );
  await using stream = await listener.accept();
  // A little is taken, then nothing: the work stays unfinished. With all that the kernel buffers, this is a small part
  // of the file, so the narrow line has many spaces after the bar.
  let taken = 0;
  while (taken < 10_000_000) taken += (await stream.read())?.length ?? Infinity;
  const { output, status } = await shown;
  assert.equal(status, 130);
  const lines = output.split("\r\u001b[K");
  assert.match(lines[1] ?? "", /^ +\d+% {2}\[=*> *\] {2}\d[\d.]* MB {2}\d[\d.]* [kM]B\/s {2}\d+:\d\d left$/);
  assert.ok((lines.at(-2) ?? "").length < 30, JSON.stringify(lines));
  assert.equal(lines.at(-1), "");
});

test("progress is not printed if standard error is not a terminal, or with --quiet", async () => {
  const path = join(folder, "quiet");
  randomFile(path, 20_000_000);
  for (const [which, more] of [
    ["", []],
    ["e", ["--quiet"]],
  ] as const) {
    await using listener = await server();
    const shown = onTerminal(["connect", listener.endpoint, ...more], [], {
      which,
      script: `exec "$@" < '${path}' > /dev/null`,
    });
    await using stream = await listener.accept();
    const { performance } = globalThis;
    const until = performance.now() + 900;
    // As slow as to show progress.
    while (performance.now() < until) await stream.read(1000);
    for await (const chunk of stream) assert.ok(chunk.length > 0);
    await stream.close();
    const { output, status } = await shown;
    assert.deepEqual({ output, status }, { output: "", status: 0 });
  }
});

test("bench shows a line with rate and latencies while it runs, and removes it before the results", async () => {
  await using listener = await server();
  const serving = (async () => {
    await using stream = await listener.accept();
    await stream.pipeTo(stream).catch(() => undefined);
  })();
  const { output, status, restored } = await onTerminal(
    ["bench", listener.endpoint, "-c", "1", "-d", "2s"],
    [{ expect: "/s  p50 " }, { expect: "99.99 %" }],
  );
  await serving;
  assert.deepEqual({ status, restored }, { status: 0, restored: true });
  const plain = output.replaceAll("\u001b[K", "<clear>");
  assert.match(plain, /\r<clear>0:0\d {2}\d+\/s {2}p50 \d[^\r]* {2}p99 \d[^\r]*\r<clear>/);
  assert.match(plain, /\r<clear>\d+ turns in 2/);
});

test("sockets --watch replaces the view on a terminal, and Ctrl-C ends it", async () => {
  await using listener = await server();
  const port = listener.endpoint.split(":").at(-1)!;
  const { output, status, restored } = await onTerminal(
    ["sockets", "-t", "--port", port, "--watch", "50ms"],
    [{ expect: `:${port} ` }, { expect: "\u001b[2J" }, { type: "\u0003" }],
  );
  assert.deepEqual({ status, restored }, { status: 0, restored: true });
  assert.ok(output.startsWith("\u001b[H\u001b[2J\u001b[1mKind"), JSON.stringify(output.slice(0, 40)));
});
