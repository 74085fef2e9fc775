// The TypeScript in the documents compiles with our flags, runs, and has the documented output.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { checkLeaks } from "./support/leaks.js";
import {
  type Snippet,
  fileStem,
  findSnippets,
  snippetsOfMarkdown,
  snippetsOfSource,
  toDocumentPlaces,
  toModule,
  withPort,
} from "./support/snippets.js";

checkLeaks();

/** How long a snippet may take, in milliseconds. */
const timeLimit = 20_000;

const root = fileURLToPath(new URL("../..", import.meta.url));
// Beside the compiled tests, so that "berkeley" is what they import.
const folder = fileURLToPath(new URL("../snippets", import.meta.url));
const workingFolder = mkdtempSync(join(tmpdir(), "berkeley-snippets-"));
after(() => rmSync(workingFolder, { recursive: true }));

interface Outcome {
  readonly status: number | NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(args: readonly string[], cwd: string): Promise<Outcome> {
  const env = { ...process.env };
  delete env["NODE_TEST_CONTEXT"];
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, {
      cwd,
      env,
      killSignal: "SIGKILL",
      stdio: ["ignore", "pipe", "pipe"],
      timeout: timeLimit,
    });
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
    child.on("error", reject);
    child.on("close", (status, signal) => resolve({ status: signal ?? status, stdout, stderr }));
  });
}

/** True when nothing listens on this port of any address. */
function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", () => resolve(false));
    probe.listen(port, () => probe.close(() => resolve(true)));
  });
}

/**
 * A free port for each of `count`, below those that the kernel gives to sockets without one (ip(7),
 * ip_local_port_range).
 */
async function freePorts(count: number): Promise<number[]> {
  const [lowest = 32_768] = readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8").split("\t").map(Number);
  const ports: number[] = [];
  for (let port = lowest - 1; ports.length < count && port > 1024; port--) if (await isFree(port)) ports.push(port);
  assert.equal(ports.length, count, `no free port below ${lowest}`);
  return ports;
}

/** Compiles all snippets at once. Resolves with the messages of the compiler, with the places in the documents. */
async function compile(snippets: readonly Snippet[], ports: readonly number[]): Promise<string> {
  rmSync(folder, { force: true, recursive: true });
  mkdirSync(folder, { recursive: true });
  for (const [index, snippet] of snippets.entries()) {
    writeFileSync(join(folder, `${fileStem(snippet)}.ts`), toModule(snippet, ports[index] ?? 0));
  }
  const config = {
    extends: "../../tsconfig.base.json",
    compilerOptions: {
      composite: false,
      declaration: false,
      inlineSourceMap: true,
      isolatedDeclarations: false,
      // An example may name what it does not go on to use.
      noUnusedLocals: false,
      noUnusedParameters: false,
      outDir: "js",
      // By way of package.json, as users have it.
      paths: {},
      rootDir: ".",
    },
    include: ["*.ts"],
  };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
  const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
  const { status, stdout, stderr } = await run([tsc, "-p", folder, "--pretty", "false"], root);
  return toDocumentPlaces(stdout + stderr) || (status === 0 ? "" : `tsc ended with ${String(status)}`);
}

/** What is wrong with how it ran, if anything is. */
function complaint(snippet: Snippet, port: number, { status, stdout, stderr }: Outcome): string | undefined {
  const said = toDocumentPlaces(`\n--- stdout\n${stdout}--- stderr\n${stderr}`);
  const place = `${snippet.path}:${snippet.line}`;
  if (status === "SIGKILL") return `${place}: did not end within ${timeLimit} ms${said}`;
  if (status !== 0) return `${place}: ended with ${String(status)}${said}`;
  const lines = stdout.split("\n");
  for (const line of snippet.prints.map((text) => withPort(text, port))) {
    const at = lines.indexOf(line);
    if (at === -1) return `${place}: no line ${JSON.stringify(line)} in what it printed${said}`;
    lines.splice(at, 1);
  }
  return undefined;
}

const execute = (snippet: Snippet): Promise<Outcome> =>
  run(["--enable-source-maps", join(folder, "js", `${fileStem(snippet)}.js`)], workingFolder);

const snippets = findSnippets(root);
const ports = await freePorts(snippets.length + 1);
const diagnostics = await compile(snippets, ports);

test("README.md, the pages of docs/ and the comments of src/ have TypeScript to run", () => {
  const count = (start: string): number =>
    snippets.filter((snippet) => snippet.run && snippet.path.startsWith(start)).length;
  const counts = { readme: count("README.md"), docs: count("docs/"), src: count("src/") };
  assert.ok(counts.readme > 0 && counts.docs > 10 && counts.src > 50, JSON.stringify(counts));
});

test("the first example of README.md runs on every Node.js as it stands: JavaScript, and without `using`", async () => {
  const first = snippets.find((snippet) => snippet.path === "README.md") ?? assert.fail("README.md has no TypeScript");
  assert.doesNotMatch(first.code, /\busing\b/);
  assert.ok(first.code.trim().split("\n").length <= 15, "the first example is longer than 15 lines");
  const port = ports.at(-1) ?? 0;
  const file = join(folder, "readme.mjs");
  writeFileSync(file, withPort(first.code, port));
  const wrong = complaint(first, port, await run([file], workingFolder));
  if (wrong !== undefined) assert.fail(wrong);
});

test("every block of docs/tutorial.md is JavaScript, which plain Node.js takes as a file name.mjs", async () => {
  const blocks = snippets.filter((snippet) => snippet.path === join("docs", "tutorial.md"));
  assert.ok(blocks.length > 10, String(blocks.length));
  for (const { line, code } of blocks) {
    assert.doesNotMatch(code, /\busing\b/, `docs/tutorial.md:${line}`);
    const file = join(workingFolder, `tutorial-${line}.mjs`);
    writeFileSync(file, code);
    const { status, stderr } = await run(["--check", file], workingFolder);
    assert.equal(status, 0, `docs/tutorial.md:${line}: ${stderr}`);
  }
});

test("the snippets of the documents compile", () => {
  if (diagnostics !== "") assert.fail(`\n${diagnostics}`);
});

describe("the snippets of the documents run", { concurrency: 2 }, () => {
  for (const [index, snippet] of snippets.entries()) {
    if (!snippet.run) continue;
    test(`${snippet.path}:${snippet.line} runs`, async () => {
      const wrong = complaint(snippet, ports[index] ?? 0, await execute(snippet));
      if (wrong !== undefined) assert.fail(wrong);
    });
  }
});

describe("a snippet", () => {
  const markdown = (code: string, info = ""): Snippet[] =>
    snippetsOfMarkdown("docs/a.md", `Text\n\n\`\`\`ts${info}\n${code}\n\`\`\`\n`);

  test("is found with its place, its mark and its output", () => {
    const code = "const a = 1;\nconsole.log(a); // prints: 1";
    assert.deepEqual(markdown(code), [{ path: "docs/a.md", line: 4, code, run: true, prints: ["1"] }]);
    assert.equal(markdown(code, " no-run")[0]?.run, false);
    assert.deepEqual(snippetsOfMarkdown("a.md", "```text\nfoo\n```\n```js\nfoo\n```\n````md\n```ts\n```\n````\n"), []);
  });

  test("is found in a doc comment", () => {
    const source = "const a = 1;\n/**\n * Adds.\n *\n * @example\n * ```ts\n * f();\n *   g();\n * ```\n */\n";
    assert.deepEqual(snippetsOfSource("src/a.ts", source), [
      { path: "src/a.ts", line: 7, code: "f();\n  g();", run: true, prints: [] },
    ]);
  });

  test("is refused with an unknown mark, or without an end", () => {
    assert.throws(() => markdown("a", " norun"), /docs\/a\.md:3: a block of ts may say no-run, not "norun"/);
    assert.throws(() => snippetsOfMarkdown("a.md", "\n```ts\na"), /a\.md:2: the block that opens here is not closed/);
  });

  test("has the line numbers of its document in messages of the compiler and in stacks", () => {
    assert.equal(toDocumentPlaces("out/snippets/docs__a.md__4.ts(5,7): error"), "docs/a.md:5:7: error");
    assert.equal(
      toDocumentPlaces("at f (file:///x/out/snippets/src__reactor__a.ts__4.ts:5:7)"),
      "at f (src/reactor/a.ts:5:7)",
    );
  });

  test("fails when its status, its output or its time is wrong", async () => {
    const port = ports.at(-1) ?? 0;
    const outcome = { status: 0, stdout: `1\n${port}\n`, stderr: "" };
    const [right] = markdown("f(); // prints: 1\n// prints: 8888");
    const [wrong] = markdown("// prints: 1\n// prints: 1");
    assert.ok(right && wrong);
    assert.equal(complaint(right, port, outcome), undefined);
    assert.match(complaint(wrong, port, outcome) ?? "", /^docs\/a\.md:4: no line "1" in what it printed/);
    assert.match(complaint(right, port, { ...outcome, status: 1 }) ?? "", /^docs\/a\.md:4: ended with 1/);
    assert.match(complaint(right, port, { ...outcome, status: "SIGKILL" }) ?? "", /did not end within/);
  });
});
