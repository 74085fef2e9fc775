// Wrong files for the loader, each in a copy of the package: one error that says what was found and tried, and what to
// do. No crash, and no stack.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { currentLibc } from "#berkeley/sys/loading/host.js";
import { canUnshare, runUnshared } from "../../support/namespaces.js";
import { root } from "../../support/program.js";

const built = readFileSync(join(root, "build", "Release", "berkeley.node"));
const libc = currentLibc() ?? "glibc";
const LOCAL = join("build", "Release", "berkeley.node");
const SHIPPED = join("prebuilds", `linux-${process.arch}-${libc}.node`);

const base = mkdtempSync(join(tmpdir(), "berkeley-loading-"));
after(() => rmSync(base, { recursive: true, force: true }));

/** The code that "berkeley" leads to here: dist/ of the package, or the compiled files in their place. */
const code = dirname(fileURLToPath(import.meta.resolve("berkeley")));

/** A copy of the package without an addon, then with these files. */
let copies = 0;
function copy(files: Readonly<Record<string, Buffer | string>> = {}): string {
  const folder = join(base, `copy ${copies++}`, "node_modules", "berkeley");
  mkdirSync(folder, { recursive: true });
  cpSync(join(dirname(code), "package.json"), join(folder, "package.json"));
  cpSync(join(root, "binding.gyp"), join(folder, "binding.gyp"));
  cpSync(code, join(folder, basename(code)), { recursive: true });
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), content);
  }
  return folder;
}

const onNode = !("bun" in process.versions || "deno" in process.versions);

interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const environment = (more: NodeJS.ProcessEnv): NodeJS.ProcessEnv => {
  // The tests themselves may run on another file.
  const env: NodeJS.ProcessEnv = { ...process.env, BERKELEY_ADDON: "", ...more };
  delete env["NODE_TEST_CONTEXT"];
  return env;
};

/** Runs a program beside the copy that imports an entry, as a user's would. */
function load(folder: string, more: NodeJS.ProcessEnv = {}, entry = "berkeley"): Outcome {
  const program = join(folder, "..", "..", "program.mjs");
  writeFileSync(program, `const { AF_INET } = await import("${entry}");\nconsole.log("loaded", AF_INET);\n`);
  const { status, signal, stderr, stdout } = spawnSync(process.execPath, [program], {
    encoding: "utf8",
    env: environment(more),
  });
  assert.equal(signal, null, `ended by ${signal}: ${stderr}`);
  return { status, stdout, stderr };
}

const assertLoaded = ({ status, stderr, stdout }: Outcome): void => {
  assert.equal(status, 0, stderr);
  assert.equal(stdout, "loaded 2\n");
};

/** One error with all of this in its text, and nothing of a stack. */
function assertRefused({ status, stderr, stdout }: Outcome, reason: string, ...parts: readonly string[]): void {
  assert.equal(status, 1, stdout + stderr);
  assert.equal(stdout, "");
  assert.match(
    stderr,
    /Error: Cannot load the addon of berkeley \d+\.\d+\.\d+ on linux-\w+ with (Node\.js|Bun|Deno) \d/,
  );
  // Bun and Deno print less of an uncaught error.
  const printed = onNode ? ["AddonError: ", "code: 'ERR_ADDON'", `reason: '${reason}'`] : [];
  for (const part of [...printed, "  to do: ", ...parts]) {
    assert.ok(stderr.includes(part), `${JSON.stringify(part)} is not in:\n${stderr}`);
  }
  assert.equal(stderr.match(/Error:/g)?.length, 1, stderr);
  // Bun prints the place of an error even when its `stack` has none.
  if (!("bun" in process.versions)) assert.doesNotMatch(stderr, /^\s+at .*(addon\.js|loading\/|berkeley\/dist)/m);
}

/** Replaces each occurrence of `from` by as many other bytes. */
function patched(from: string, to: string): Buffer {
  const content = Buffer.from(built);
  const at = content.indexOf(from, 0, "latin1");
  assert.ok(at >= 0, `${from} is not in the addon`);
  content.write(to.padEnd(from.length, "\0"), at, "latin1");
  return content;
}

const otherMachine = (): Buffer => {
  const content = Buffer.from(built);
  content.writeUInt16LE(process.arch === "arm64" ? 62 : 183, 18);
  return content;
};

const otherLibc = (): Buffer => patched(` ${libc}\0`, libc === "glibc" ? " musl\0\0" : " glibc");

test("a file that is shipped is loaded when there is no local build", () => {
  assertLoaded(load(copy({ [SHIPPED]: built })));
});

test("a local build is loaded instead of the shipped addon", () => {
  assertLoaded(load(copy({ [LOCAL]: built, [SHIPPED]: "not looked at" })));
});

test("each entry loads the same file", () => {
  const folder = copy({ [SHIPPED]: built });
  for (const entry of ["berkeley/sync", "berkeley/testing", "berkeley/wintertc"]) {
    const program = join(folder, "..", "..", "entry.mjs");
    writeFileSync(program, `await import("${entry}");\nconsole.log("loaded");\n`);
    const { stderr, stdout } = spawnSync(process.execPath, [program], { encoding: "utf8", env: environment({}) });
    assert.equal(stdout, "loaded\n", `${entry}: ${stderr}`);
  }
});

test("without any file the error names both places and the command that builds one", () => {
  const folder = copy();
  const command = `cd '${folder}' && LINK=cc npx --yes node-gyp rebuild`;
  assertRefused(
    load(folder),
    "missing",
    `the package has no file for linux-${process.arch}-${libc}`,
    `tried ${join(folder, LOCAL)}: no such file`,
    `tried ${join(folder, SHIPPED)}: no such file`,
    command,
  );
});

test("a file that is cut off anywhere is refused before dlopen(3), which would end the process", () => {
  for (const length of [0, 1, 3, 4, 20, 63, 64, 300, 4096, 40_000, built.length - 1]) {
    const outcome = load(copy({ [SHIPPED]: built.subarray(0, length) }));
    if (length > 0 && length < 4) assertRefused(outcome, "foreign", "required an ELF file");
    else assertRefused(outcome, "truncated", length === 0 ? "it is empty" : `it is cut off after ${length} `);
  }
});

test("a text file and a folder in its place are refused", () => {
  assertRefused(load(copy({ [SHIPPED]: "404: Not Found\n" })), "foreign", 'it begins with "404: Not"');
  const pointer = "version https://git-lfs.github.com/spec/v1\n";
  assertRefused(load(copy({ [LOCAL]: pointer })), "foreign", 'it begins with "version "', "or remove it");
  const folder = copy();
  mkdirSync(join(folder, SHIPPED), { recursive: true });
  assertRefused(load(folder), "foreign", "it is not a regular file");
});

test("an ELF program is refused", () => {
  const folder = copy();
  mkdirSync(join(folder, "prebuilds"));
  symlinkSync(realpathSync("/proc/self/exe"), join(folder, SHIPPED));
  assertRefused(load(folder), "foreign", "it is an ELF program, required a shared object");
});

test("the addon of another package is refused without running it", () => {
  const modules = join(root, "node_modules");
  const foreign = readdirSync(modules, { recursive: true, encoding: "utf8" }).find((path) => path.endsWith(".node"));
  assert.ok(foreign !== undefined, "no package brings an addon");
  const folder = copy();
  mkdirSync(join(folder, "prebuilds"));
  symlinkSync(join(modules, foreign), join(folder, SHIPPED));
  assertRefused(load(folder), "foreign", "it is not an addon of berkeley, required one");
});

test("a shared object that would abort in its constructor is refused without running it", (t) => {
  const folder = copy();
  const source = join(base, "abort.c");
  writeFileSync(source, "#include <stdlib.h>\n__attribute__((constructor)) static void begin(void) { abort(); }\n");
  const compiler = process.env["CC"]?.split(" ")[0] ?? "cc";
  mkdirSync(join(folder, "prebuilds"));
  const { error, status, stderr } = spawnSync(compiler, ["-shared", "-fPIC", "-o", join(folder, SHIPPED), source]);
  if (error !== undefined) return t.skip(`there is no ${compiler}`);
  assert.equal(status, 0, String(stderr));
  return assertRefused(load(folder), "foreign", "it is not an addon of berkeley");
});

test("an addon for another machine is refused by name", () => {
  const other = process.arch === "arm64" ? "x64" : "arm64";
  const outcome = load(copy({ [SHIPPED]: otherMachine() }));
  assertRefused(
    outcome,
    "architecture",
    `it is built for ${other}, required ${process.arch}`,
    "install berkeley again",
  );
});

test("an addon for another C library is refused by name", () => {
  const other = libc === "glibc" ? "musl" : "glibc";
  assertRefused(load(copy({ [SHIPPED]: otherLibc() })), "libc", `it is built for ${other}, required ${libc}`);
});

test("an addon that was built for another machine or C library is refused by name", (t) => {
  const prebuilds = join(root, "prebuilds");
  if (!existsSync(prebuilds)) return t.skip("npm run prebuild has not run");
  const others = readdirSync(prebuilds).filter((name) => name.endsWith(".node") && `prebuilds/${name}` !== SHIPPED);
  assert.ok(others.length > 0);
  for (const name of others) {
    const reason = name.includes(`-${process.arch}-`) ? "libc" : "architecture";
    assertRefused(load(copy({ [SHIPPED]: readFileSync(join(prebuilds, name)) })), reason, "required");
  }
});

test("a local build of another version is refused with the command that builds it again", () => {
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
  const older = version.replace(/\d$/, (digit) => (digit === "9" ? "8" : "9"));
  const outcome = load(copy({ [LOCAL]: patched(` ${version} `, ` ${older} `), [SHIPPED]: built }));
  const found = `it is built for berkeley ${older}, required ${version}`;
  assertRefused(outcome, "version", found, "build it again: cd ", "node-gyp rebuild");
});

test("a file that may not be read is refused", (t) => {
  if (process.getuid?.() === 0 && !canUnshare(["--user"])) return t.skip("root reads every file");
  const folder = copy({ [SHIPPED]: built });
  const program = join(folder, "..", "..", "program.mjs");
  writeFileSync(program, 'import "berkeley";\n');
  chmodSync(join(folder, SHIPPED), 0);
  // A user of a namespace without a mapping has no rights over files of the world outside.
  const { status, stderr, stdout } =
    process.getuid?.() === 0
      ? runUnshared(["--user"], 'BERKELEY_ADDON= "$NODE" "$1"', [program])
      : spawnSync(process.execPath, [program], { encoding: "utf8", env: environment({}) });
  return assertRefused({ status, stdout, stderr }, "unreadable", "it cannot be opened (EACCES)");
});

test("a read-only folder is no hindrance, and a noexec one is named", (t) => {
  const flags = ["--mount", ...(process.getuid?.() === 0 ? [] : ["--user", "--map-root-user"])];
  if (!canUnshare(flags)) return t.skip("a mount namespace cannot be made here");
  const folder = join(copy({ [SHIPPED]: built }), "..", "..");
  const program = join(folder, "program.mjs");
  writeFileSync(program, 'const { AF_INET } = await import("berkeley");\nconsole.log("loaded", AF_INET);\n');
  const script = (options: string): string => `
    mkdir "$1/mounted" 2>/dev/null || true
    mount -t tmpfs none "$1/mounted"
    cp -r "$1/node_modules" "$1/program.mjs" "$1/mounted"
    mount -o remount,${options} "$1/mounted"
    BERKELEY_ADDON= exec "$NODE" "$1/mounted/program.mjs"`;
  assertLoaded(runUnshared(flags, script("ro"), [folder]));
  const outcome = runUnshared(flags, script("noexec"), [folder]);
  const found = `${join(folder, "mounted", "node_modules", "berkeley", SHIPPED)}: it cannot be loaded: `;
  return assertRefused(
    outcome,
    "refused",
    found,
    "to do: move the package to a file system that is mounted without noexec",
  );
});

test("BERKELEY_ADDON names the file, and nothing else is looked for", () => {
  const elsewhere = join(base, "elsewhere.node");
  writeFileSync(elsewhere, built);
  assertLoaded(load(copy(), { BERKELEY_ADDON: elsewhere }));
  assertLoaded(load(copy({ [LOCAL]: "not looked at" }), { BERKELEY_ADDON: elsewhere }));
  const none = join(base, "none.node");
  const folder = copy({ [LOCAL]: built });
  assertRefused(load(folder, { BERKELEY_ADDON: none }), "missing", `${none}: no such file`, "set BERKELEY_ADDON to");
  const other = join(base, "addon.js");
  writeFileSync(other, "console.log('run')");
  assertRefused(
    load(folder, { BERKELEY_ADDON: other }),
    "foreign",
    "its name does not end with .node, required a .node file",
  );
  // An empty word is none.
  assertLoaded(load(folder, { BERKELEY_ADDON: "" }));
});

test("code that a bundler has moved finds the package that is installed beside it", () => {
  const folder = copy({ [SHIPPED]: built });
  const app = join(folder, "..", "..");
  // As a bundler leaves it: our code without our package.json above it.
  cpSync(code, join(app, "bundled"), { recursive: true });
  writeFileSync(join(app, "package.json"), '{ "name": "app", "type": "module" }');
  const run = (): Outcome =>
    spawnSync(
      process.execPath,
      ["-e", 'import("./bundled/index.js").then(({ AF_INET }) => console.log("loaded", AF_INET))'],
      {
        cwd: app,
        encoding: "utf8",
        env: environment({}),
      },
    );
  assertLoaded(run());
  rmSync(folder, { recursive: true });
  assertRefused(run(), "missing", "berkeley is not installed there", "set BERKELEY_ADDON to the path");
});

test("on another platform the error names it, and no file is looked for", () => {
  const folder = copy({ [SHIPPED]: built });
  const program = join(folder, "..", "..", "other.mjs");
  writeFileSync(
    program,
    'Object.defineProperty(process, "platform", { value: "darwin" });\nawait import("berkeley");\n',
  );
  const { status, stderr } = spawnSync(process.execPath, [program], { encoding: "utf8", env: environment({}) });
  assert.equal(status, 1);
  assert.match(stderr, /: the platform is darwin-\w+, required linux\n {2}berkeley makes the system calls of Linux/);
  if (onNode) assert.match(stderr, /reason: 'platform',\n\s+tried: \[\]/);
});

test("a worker gets the same error, and the program goes on", () => {
  const folder = copy({ [SHIPPED]: built.subarray(0, 50_000) });
  const program = join(folder, "..", "..", "worker.mjs");
  writeFileSync(
    program,
    `import { Worker, isMainThread } from "node:worker_threads";
     if (isMainThread) {
       const worker = new Worker(new URL(import.meta.url));
       worker.on("error", (error) => console.log(error.code, error.reason));
     } else await import("berkeley");`,
  );
  const { stderr, stdout } = spawnSync(process.execPath, [program], { encoding: "utf8", env: environment({}) });
  assert.equal(stdout, "ERR_ADDON truncated\n", stderr);
});
