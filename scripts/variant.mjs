// Other builds of the addon, for tests: compiled by the machine's compiler with flags of their own, and loaded in the
// place of the usual one by way of BERKELEY_ADDON.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { includeFolder } from "./headers.mjs";

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

/** Ends the process with a message; `said` is what a program has printed. */
export function fail(message, said = "") {
  if (said) process.stderr.write(said.endsWith("\n") ? said : `${said}\n`);
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

/** Runs a program; what it printed. */
export function run(command, args, options = {}) {
  const { error, status, signal, stdout, stderr } = spawnSync(command, args, {
    encoding: "utf8",
    maxBuffer: 1 << 28,
    ...options,
  });
  if (error !== undefined) fail(`cannot run ${command}: ${error.message}`);
  if (status !== 0) fail(`${command} ${args[0]}: ended with ${signal ?? status}`, stdout + stderr);
  return stdout;
}

export const compiler = process.env.CC?.split(" ")[0] || "cc";

/** Compiles C files to a shared object that finds Node-API and libuv in the program. */
export function compileShared(file, sources, flags, options = {}) {
  const include = includeFolder();
  if (include === undefined) fail("the headers of Node are missing: include/node with node_api.h and uv.h");
  mkdirSync(dirname(file), { recursive: true });
  const words = ["-shared", "-fPIC", "-std=c11", "-fvisibility=hidden", "-Wall", "-Wextra", ...flags];
  const defines = ["-DNAPI_VERSION=8", "-D_GNU_SOURCE", `-DBERKELEY_VERSION="${version}"`];
  run(options.compiler ?? compiler, [...words, ...defines, "-isystem", include, "-o", file, ...sources], options);
}

/** The files of native/. */
export const sources = readdirSync(join(root, "native"))
  .filter((name) => name.endsWith(".c"))
  .map((name) => join(root, "native", name));

/** Runs tests with these words and variables; the status of the run. Their output is ours. */
export function test(words, env) {
  // Coverage and reports are those of what lies in the tree, not of a package that was made of it.
  const unpacked = existsSync(join(root, "scripts", "packed.mjs")) ? ["--unpacked"] : [];
  const args = [join(root, "scripts", "test.mjs"), ...unpacked, ...words];
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { cwd: root, env: { ...process.env, ...env }, stdio: "inherit" });
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
    child.on("error", reject);
    child.on("close", (status) => resolve(status ?? 1));
  });
}
