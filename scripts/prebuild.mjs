// The addons that the package ships: native/ cross-compiled with Zig for each target, into prebuilds/.
//
//   npm run prebuild                 what is not up to date; contents decide, not dates
//   npm run prebuild -- --check      builds nothing: the status is 1 when something is not up to date
//   npm run prebuild -- --verify     builds everything, then once more from another folder, and compares the bytes
//
// Zig is large, so it has a lock of its own in tools/zig and is installed by the first run only. A build needs nothing
// else but the headers of Node: no make, no python3, no C compiler.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { includeFolder } from "./headers.mjs";
import { installTools } from "./installTools.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const at = (...parts) => join(root, ...parts);

/** [name of the file, Zig's target, what the file may need]. glibc 2.17 is the oldest that a Node of today runs on. */
const targets = [
  ["linux-x64-glibc", "x86_64-linux-gnu.2.17"],
  ["linux-arm64-glibc", "aarch64-linux-gnu.2.17"],
  ["linux-x64-musl", "x86_64-linux-musl"],
  ["linux-arm64-musl", "aarch64-linux-musl"],
];
const OLDEST_GLIBC = [2, 17];
/** Most bytes of one file. */
const LARGEST = 100_000;

const flags = [
  "-shared -fPIC -std=c11 -O2 -fvisibility=hidden",
  "-Wall -Wextra -Werror",
  // No C++ frame is below ours and no debugger reads a stripped file: tables of frames would be a tenth of it.
  "-fno-asynchronous-unwind-tables -fno-unwind-tables -fno-sanitize=all",
  "-s -Wl,--build-id=none -Wl,-z,relro,-z,now -Wl,--hash-style=gnu",
].flatMap((line) => line.split(" "));

const output = at("prebuilds");
const stamp = join(output, ".stamp");
const compilerFolder = at("tools", "zig");
const zig = join(compilerFolder, "node_modules", "@zigc", "linux-x64", "bin", "zig");
const { version } = JSON.parse(readFileSync(at("package.json"), "utf8"));

function fail(message, said = "") {
  if (said) process.stderr.write(said.endsWith("\n") ? said : `${said}\n`);
  process.stderr.write(`prebuild: ${message}\n`);
  process.exit(1);
}

const given = process.argv.slice(2);
const verifying = given.includes("--verify");
const unknown = given.find((word) => word !== "--verify" && word !== "--check");
if (unknown !== undefined) fail(`unknown argument ${JSON.stringify(unknown)}: only --verify and --check are known`);

function run(what, command, args, options = {}) {
  const began = performance.now();
  const { error, status, signal, stderr, stdout } = spawnSync(command, args, { encoding: "utf8", ...options });
  if (error !== undefined) fail(`${what}: cannot run ${command}: ${error.message}`);
  if (status !== 0) fail(`${what}: ended with ${signal ?? status}`, stdout + stderr);
  if (stderr.trim() !== "") fail(`${what}: has warnings`, stderr);
  process.stderr.write(`prebuild: ${what} (${((performance.now() - began) / 1000).toFixed(1)} s)\n`);
}

function installCompiler() {
  if (process.platform !== "linux" || process.arch !== "x64") {
    fail(`the compiler of tools/zig runs on linux-x64, and this is ${process.platform}-${process.arch}`);
  }
  installTools("zig");
}

const sources = readdirSync(at("native"))
  .filter((name) => name.endsWith(".c"))
  .toSorted();

/** Compiles the sources in `folder`/native for a target. The same bytes come of it wherever the folder is. */
function build(name, target, folder, include, file, cache) {
  const args = [
    "cc",
    "-target",
    target,
    ...flags,
    "-DNAPI_VERSION=8",
    "-D_GNU_SOURCE",
    `-DBERKELEY_VERSION="${version}"`,
    `-ffile-prefix-map=${folder}=.`,
    `-ffile-prefix-map=${include}=include`,
    "-isystem",
    include,
    "-o",
    file,
    ...sources.map((source) => join("native", source)),
  ];
  const env = {
    ...process.env,
    SOURCE_DATE_EPOCH: "0",
    ZIG_LIB_DIR: join(compilerFolder, "node_modules", "@zigc", "lib"),
    ZIG_GLOBAL_CACHE_DIR: cache,
    ZIG_LOCAL_CACHE_DIR: cache,
  };
  run(name, zig, args, { cwd: folder, env });
}

const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

/** What a file is made from. */
function sourceHash(include) {
  const sum = createHash("sha256");
  const files = [
    ...readdirSync(at("native"))
      .toSorted()
      .map((name) => at("native", name)),
    ...["node_api.h", "js_native_api.h", "uv.h", "uv/version.h"].map((name) => join(include, name)),
    join(compilerFolder, "package-lock.json"),
    fileURLToPath(import.meta.url),
  ];
  for (const file of files) sum.update(readFileSync(file)).update("\0");
  return sum.update(version).digest("hex");
}

const fileOf = (name) => join(output, `${name}.node`);

/** Fails unless a file is what it should be: small, and with no need beyond the oldest C library. */
function check(name) {
  const content = readFileSync(fileOf(name));
  if (content.length > LARGEST) fail(`${name} has ${content.length} bytes, required at most ${LARGEST}`);
  const text = content.toString("latin1");
  for (const [, major, minor] of text.matchAll(/GLIBC_(\d+)\.(\d+)/g)) {
    const [wantMajor, wantMinor] = OLDEST_GLIBC;
    if (Number(major) > wantMajor || (Number(major) === wantMajor && Number(minor) > wantMinor)) {
      fail(`${name} needs GLIBC_${major}.${minor}, required at most ${OLDEST_GLIBC.join(".")}`);
    }
  }
  // Newer C libraries load a file that lacks one of these, because they have all of it in libc.so.6.
  for (const library of name.endsWith("glibc") ? ["libpthread.so.0", "libdl.so.2", "librt.so.1"] : []) {
    if (!text.includes(`\0${library}\0`)) fail(`${name} does not name ${library} as needed`);
  }
  const libc = name.endsWith("musl") ? "musl" : "glibc";
  if (!text.includes(`berkeley-addon ${version} ${libc}\0`)) fail(`${name} does not carry the mark of the loader`);
  for (const path of [root, homeOf(process.env)]) {
    if (path !== undefined && text.includes(path)) fail(`${name} contains a path of this machine`);
  }
  return content;
}

const homeOf = ({ HOME }) => (HOME === undefined || HOME === "/" ? undefined : HOME);

const include = includeFolder();
if (include === undefined) {
  fail(
    "the headers of Node are missing (include/node with node_api.h and uv.h): use a Node that brings them, or run npx node-gyp install",
  );
}
const sum = sourceHash(include);
const upToDate =
  existsSync(stamp) && readFileSync(stamp, "utf8") === sum && targets.every(([name]) => existsSync(fileOf(name)));

if (given.includes("--check")) process.exit(upToDate ? 0 : 1);
if (!upToDate || verifying) {
  installCompiler();
  rmSync(stamp, { force: true });
  mkdirSync(output, { recursive: true });
  const known = new Set(targets.map(([name]) => `${name}.node`));
  for (const file of readdirSync(output)) if (!known.has(file)) rmSync(join(output, file), { recursive: true });
  for (const [name, target] of targets) {
    const part = `${fileOf(name)}.part`;
    build(name, target, root, include, part, at("out", "zig"));
    renameSync(part, fileOf(name));
    check(name);
  }
  if (verifying) {
    // Nothing is shared with the first build: neither the folder nor what the compiler has kept.
    const other = mkdtempSync(join(tmpdir(), "berkeley-prebuild-"));
    process.on("exit", () => rmSync(other, { recursive: true, force: true }));
    cpSync(at("native"), join(other, "native"), { recursive: true });
    for (const [name, target] of targets) {
      const again = join(other, `${name}.node`);
      build(`${name}, once more`, target, other, include, again, join(other, "cache"));
      const [one, two] = [fileOf(name), again].map((file) => sha256(readFileSync(file)));
      if (one !== two) fail(`${name} differs when it is built from another folder: ${one} and ${two}`);
    }
    process.stdout.write("prebuild: built twice, from two folders: the same bytes\n");
  }
  writeFileSync(stamp, sum);
}

for (const [name] of targets) {
  const content = check(name);
  process.stdout.write(`${relative(root, fileOf(name))}  ${content.length} bytes  sha256 ${sha256(content)}\n`);
}
