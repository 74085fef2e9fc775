// Compiles the addon with other flags, and runs tests with it. BERKELEY_ADDON makes the package load that addon.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { includeFolder } from "./headers.mjs";

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

/** Prints the output of a program that failed and a message, and ends the process. */
export function fail(message, output = "") {
  if (output) process.stderr.write(output.endsWith("\n") ? output : `${output}\n`);
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

/** Runs a program, and returns its standard output. */
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

/**
 * Runs tests with these arguments of scripts/test.mjs, and these environment variables. Resolves with the exit status.
 */
export function test(words, env) {
  // The tests run against the compiled files, because BERKELEY_ADDON and the coverage are about these.
  const unpacked = existsSync(join(root, "scripts", "packed.mjs")) ? ["--unpacked"] : [];
  const args = [join(root, "scripts", "test.mjs"), ...unpacked, ...words];
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { cwd: root, env: { ...process.env, ...env }, stdio: "inherit" });
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
    child.on("error", reject);
    child.on("close", (status) => resolve(status ?? 1));
  });
}
