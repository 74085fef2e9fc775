// The addon for musl in a process that is linked with musl.
//
//   npm run test:musl                     a program of its own, then the tests that need no event loop
//   npm run test:musl -- sync/ sys/       that program, then the test files whose path under test/ begins with one of these
//
// No package of npm has a Node that is linked with musl. Bun is there for musl (tools/musl) and has Node-API, but not
// all of libuv: with the poller of Node it ends at the first call that waits, so `core` has tests that wait for
// nothing. What they call is the same C as under Node.
//
// It takes musl's dynamic loader: apt-get install musl on Debian and Ubuntu. Bun wants a libstdc++ for musl; that of
// this machine serves, with tools/musl/shim.c.
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
  "cmsg/descriptors: a collected object has closed what nobody took, once":
    "Bun collects when it pleases: there is no gc() as under node --expose-gc",
};

const loader = "/lib/ld-musl-x86_64.so.1";
if (process.arch !== "x64") fail("musl: npm run test:musl is for linux-x64");
if (!existsSync(loader)) fail(`musl: ${loader} is missing: apt-get install musl`);
run(process.execPath, [join(root, "scripts", "prebuild.mjs")], { stdio: ["ignore", "pipe", "inherit"] });
const bun = join(installTools("musl", { foreign: true }), "@oven", "bun-linux-x64-musl", "bin", "bun");

// A folder of libraries: this machine's C++ library, and under the names that it and Bun ask for, musl and the shim.
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

// The loader's own choice, so without BERKELEY_ADDON: the package without a local build.
// It lies outside of this tree, because Bun follows the paths of the tsconfig.json above a program.
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

/** Tests of `bun test`. A skipped test of Node is one of Bun. */
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
