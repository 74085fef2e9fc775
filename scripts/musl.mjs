// Tests the addon for musl, in a process that is linked with musl.
//
//   npm run test:musl                     tools/musl/program.mjs, then the test files of `core`
//   npm run test:musl -- sync/ sys/       the program, then the test files whose path begins with one of these
//
// No package of npm contains a Node that is linked with musl. Bun is available for musl (tools/musl). It has Node-API,
// but not all of libuv: with the poller for Node, it crashes at the first call that waits. So `core` has only tests
// without such calls. The C code that they run is the same as under Node.
//
// Required: musl's dynamic loader (apt-get install musl on Debian and Ubuntu). Bun also requires a libstdc++ for musl.
// The libstdc++ of this machine, for glibc, works together with tools/musl/shim.c.
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { folder, runFiles, testFiles } from "./foreign.mjs";
import { installTools } from "./installTools.mjs";
import { compiler, fail, root, run } from "./variant.mjs";

const core = (
  "addr/ native/bounds sync/blocking sync/socket batch/ cmsg/ sys/errno sys/sockaddr " +
  "ops/relay options/filter options/shapes options/table netdb/local"
).split(" ");

/** Known differences between Bun and Node. */
const known = {
  "cmsg/descriptors: collection closes the descriptors that were not taken, once":
    "Bun has no gc() as node --expose-gc, so the test can't make it collect",
};

const loader = "/lib/ld-musl-x86_64.so.1";
if (process.arch !== "x64") fail("musl: npm run test:musl is for linux-x64");
if (!existsSync(loader)) fail(`musl: ${loader} is missing: apt-get install musl`);
run(process.execPath, [join(root, "scripts", "prebuild.mjs")], { stdio: ["ignore", "pipe", "inherit"] });
const bun = join(installTools("musl", { foreign: true }), "@oven", "bun-linux-x64-musl", "bin", "bun");

// A folder of libraries: this machine's C++ library, and musl and the shim under the names that this library and Bun
// load.
const output = join(root, "out", "musl");
const libraries = join(output, "lib");
rmSync(output, { force: true, recursive: true });
mkdirSync(libraries, { recursive: true });
for (const name of ["libstdc++.so.6", "libgcc_s.so.1"]) {
  const file = run(compiler, [`-print-file-name=${name}`]).trim();
  if (!existsSync(file)) fail(`musl: ${name} is missing: apt-get install libstdc++6`);
  cpSync(file, join(libraries, name), { dereference: true });
}
symlinkSync(loader, join(libraries, "libc.musl-x86_64.so.1"));
const modules = installTools("zig");
const zig = join(modules, "@zigc", "linux-x64", "bin", "zig");
const cache = join(root, "out", "zig");
const shim = join(libraries, "ld-linux-x86-64.so.2");
const words = ["-target", "x86_64-linux-musl", "-shared", "-fPIC", "-O2", "-fno-builtin", "-o", shim];
run(zig, ["cc", ...words, join(root, "tools", "musl", "shim.c")], {
  env: {
    ...process.env,
    ZIG_LIB_DIR: join(modules, "@zigc", "lib"),
    ZIG_GLOBAL_CACHE_DIR: cache,
    ZIG_LOCAL_CACHE_DIR: cache,
  },
});

const env = { LD_LIBRARY_PATH: libraries };
const version = run(bun, ["--version"], { env: { ...process.env, ...env } }).trim();
process.stdout.write(`musl: Bun ${version}, linked with musl\n`);

// The program uses a copy of the package without a local build, and no BERKELEY_ADDON, so the package itself chooses
// the addon. The copy is outside of this tree, because Bun uses the tsconfig.json above a program (see foreign.mjs).
const app = mkdtempSync(join(tmpdir(), "berkeley-musl-"));
process.on("exit", () => rmSync(app, { force: true, recursive: true }));
const installed = join(app, "node_modules", "berkeley");
mkdirSync(installed, { recursive: true });
const code = folder === root ? "dist" : "lib";
cpSync(join(root, "binding.gyp"), join(installed, "binding.gyp"));
for (const part of ["package.json", code]) cpSync(join(folder, part), join(installed, part), { recursive: true });
cpSync(join(root, "prebuilds"), join(installed, "prebuilds"), { recursive: true });
cpSync(join(root, "tools", "musl", "program.mjs"), join(app, "program.mjs"));
process.stdout.write(
  run(bun, [join(app, "program.mjs")], { cwd: app, env: { ...process.env, ...env }, timeout: 60_000 }),
);

/** Reads the results from the output of `bun test`. */
function results(text) {
  const names = (word) =>
    [...text.matchAll(new RegExp(`^\\(${word}\\) (.*?)(?: \\[[\\d.]+m?s\\])?$`, "gm"))].map(([, name]) => name);
  return { passed: names("pass"), failed: names("fail"), skipped: names("skip") };
}

const given = process.argv.slice(2);
process.exit(
  await runFiles({
    what: `musl (Bun ${version})`,
    files: testFiles(given.length > 0 ? given : core),
    command: (path) => [bun, "test", `./${path}`],
    env: { ...env, BERKELEY_ADDON: join(root, "prebuilds", "linux-x64-musl.node") },
    limit: 60_000,
    logs: join(output, "logs"),
    results,
    known,
  }),
);
