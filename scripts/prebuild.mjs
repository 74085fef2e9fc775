// Makes the addons that the package ships: compiles native/ with Zig for each target, into prebuilds/.
//
//   npm run prebuild                 builds them, unless they were made from the present contents of the sources
//   npm run prebuild -- --check      builds nothing; the status is 1 when the addons are not up to date
//   npm run prebuild -- --verify     builds all addons twice, in two folders, and compares the bytes
//
// Zig is large, so it has a lock file of its own in tools/zig, and the first run installs it. A build needs Zig and the
// headers of Node: no make, no python3, no C compiler.
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

/** [name of the file, target of Zig]. A present Node needs at least glibc 2.17. */
const targets = [
  ["linux-x64-glibc", "x86_64-linux-gnu.2.17"],
  ["linux-arm64-glibc", "aarch64-linux-gnu.2.17"],
  ["linux-x64-musl", "x86_64-linux-musl"],
  ["linux-arm64-musl", "aarch64-linux-musl"],
];
const OLDEST_GLIBC = [2, 17];
/** Limit of one file. */
const MAX_BYTES = 100_000;

const flags = [
  "-shared -fPIC -std=c11 -O2 -fvisibility=hidden",
  "-Wall -Wextra -Werror",
  // Unwind tables would be a tenth of the file. They are for C++ exceptions, which do not pass through the addon, and
  // for debuggers, which do not work on a stripped file anyway.
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

/** Compiles the sources in `folder`/native for a target. The bytes of the result do not depend on the folder. */
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

/** The hash of everything that the addons are made from. */
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

/** Checks an addon: its size, the C library that it requires, and that it has no path of this machine. */
function check(name) {
  const content = readFileSync(fileOf(name));
  if (content.length > MAX_BYTES) fail(`${name} has ${content.length} bytes, required at most ${MAX_BYTES}`);
  const text = content.toString("latin1");
  for (const [, major, minor] of text.matchAll(/GLIBC_(\d+)\.(\d+)/g)) {
    const [wantMajor, wantMinor] = OLDEST_GLIBC;
    if (Number(major) > wantMajor || (Number(major) === wantMajor && Number(minor) > wantMinor)) {
      fail(`${name} needs GLIBC_${major}.${minor}, required at most ${OLDEST_GLIBC.join(".")}`);
    }
  }
  // An old glibc needs these names, because it has these functions in libraries of their own. On this machine a file
  // without them would load too: a new glibc has all of them in libc.so.6.
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
    // The second build shares neither the folder nor the cache of the compiler with the first one.
    const other = mkdtempSync(join(tmpdir(), "berkeley-prebuild-"));
    process.on("exit", () => rmSync(other, { recursive: true, force: true }));
    cpSync(at("native"), join(other, "native"), { recursive: true });
    for (const [name, target] of targets) {
      const again = join(other, `${name}.node`);
      build(`${name}, once more`, target, other, include, again, join(other, "cache"));
      const [one, two] = [fileOf(name), again].map((file) => sha256(readFileSync(file)));
      if (one !== two) fail(`${name} differs when it is built from another folder: ${one} and ${two}`);
    }
    process.stdout.write("prebuild: two builds from two folders have the same bytes\n");
  }
  writeFileSync(stamp, sum);
}

for (const [name] of targets) {
  const content = check(name);
  process.stdout.write(`${relative(root, fileOf(name))}  ${content.length} bytes  sha256 ${sha256(content)}\n`);
}
