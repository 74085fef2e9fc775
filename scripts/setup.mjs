// Makes everything that `npm start` and `npm test` need: installs the packages of package-lock.json (npm install),
// builds the addon (node-gyp), compiles the TypeScript (tsc -b) and builds the page of the inspector. A step is skipped
// when its output exists and was made from the present contents of its inputs. Dates of files do not count.
//
// This script may use only Node, npm, python3, make and a C compiler, because nothing else is installed yet.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, linkSync, readFileSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { headersOfThisNode } from "./headers.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const at = (...parts) => join(root, ...parts);

const addon = at("build", "Release", "berkeley.node");
const addonStamp = at("build", ".setup");
const compiledStamp = at("out", ".setup");
const buildInfos = [at("out", "lib", ".tsbuildinfo"), at("out", ".tsbuildinfo")];
const developmentManifest = at("out", "package.json");
const page = at("out", "inspect", "page", "index.html");
const pageStamp = at("out", "inspect", ".setup");
const lock = at(".setup.lock");

/** The folders of TypeScript: [folder of the sources, folder of the compiled files]. */
const compiledFolders = [
  ["src", join("out", "lib")],
  ["test", join("out", "test")],
  ["bench", join("out", "bench")],
  ["examples", join("out", "examples")],
];

function fail(message, output = "") {
  if (output) process.stderr.write(output.endsWith("\n") ? output : `${output}\n`);
  process.stderr.write(`setup: ${message}\n`);
  process.exit(1);
}

/** Runs a program in the root. Its output is printed only if it fails. `what` is the name of the step. */
function step(what, command, args, env = {}) {
  process.stderr.write(`setup: ${what}`);
  const began = performance.now();
  const result = spawnSync(command, args, {
    cwd: root,
    encoding: "utf8",
    env: { ...process.env, ...env },
    maxBuffer: 64 << 20,
    stdio: ["ignore", "pipe", "pipe"],
  });
  process.stderr.write(` (${((performance.now() - began) / 1000).toFixed(1)} s)\n`);
  if (result.error) fail(`${what}: cannot run ${command}: ${result.error.message}`);
  if (result.status !== 0) {
    const how = result.signal ? `ended by ${result.signal}` : `ended with status ${result.status}`;
    const output = (result.stdout + result.stderr).replace(/^gyp info .*\n/gm, "");
    fail(`${what}: ${how}`, output);
  }
}

/** The files in a folder and its subfolders for whose names `keep` returns true, sorted. */
function filesUnder(folder, keep = () => true) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && keep(entry.name))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .toSorted();
}

/** A hash of `words`, and of the paths and the contents of `files`. */
function hash(words, files) {
  const sum = createHash("sha256");
  for (const word of words) sum.update(`${word}\0`);
  for (const file of files) {
    sum.update(`${relative(root, file)}\0`);
    sum.update(existsSync(file) ? createHash("sha256").update(readFileSync(file)).digest() : "missing");
  }
  return sum.digest("hex");
}

const readText = (file) => (existsSync(file) ? readFileSync(file, "utf8") : "");

// ---- packages ---------------------------------------------------------------------------------------------------

/**
 * How node_modules differs from package-lock.json, or undefined. The comparison uses node_modules/.package-lock.json,
 * where npm records the installed packages.
 */
function packagesNeeded() {
  const installed = readText(at("node_modules", ".package-lock.json"));
  if (!installed) return "node_modules is missing";
  const have = JSON.parse(installed).packages;
  const want = JSON.parse(readText(at("package-lock.json"))).packages;
  for (const [path, entry] of Object.entries(want)) {
    if (path === "") continue;
    if (!have[path]) {
      if (!entry.optional) return `${path} is not installed`;
    } else if (have[path].version !== entry.version || have[path].integrity !== entry.integrity) {
      return `${path} is not version ${entry.version} as locked`;
    } else if (!existsSync(at(path, "package.json"))) {
      return `${path} is gone`;
    }
  }
  return undefined;
}

/** Fails if the dependencies of package.json and package-lock.json are different. */
function requireMatchingLock() {
  const declared = JSON.parse(readText(at("package.json")));
  const locked = JSON.parse(readText(at("package-lock.json"))).packages[""];
  for (const kind of ["dependencies", "devDependencies", "optionalDependencies"]) {
    const sorted = (map = {}) =>
      JSON.stringify(
        Object.keys(map)
          .toSorted()
          .map((name) => [name, map[name]]),
      );
    if (sorted(declared[kind]) !== sorted(locked[kind])) {
      fail(`package-lock.json does not have the ${kind} of package.json: run npm install and commit both`);
    }
  }
}

/**
 * Installs the packages with `npm install --no-save`, which installs the locked versions, checks their integrity and
 * does not change the lock file. `npm ci` would do more checks, which `requireMatchingLock()` does here. But `npm ci`
 * refuses a lock file without the optional binaries of other platforms, so it fails with a registry mirror that does
 * not have these.
 */
function installPackages() {
  // Under `npm start` this is the npm that runs this script. Another npm may be the first on PATH.
  const npm = process.env.npm_execpath;
  const viaNode = npm !== undefined && /npm-cli\.[cm]?js$/.test(npm);
  const args = ["install", "--no-save", "--include=dev", "--no-audit", "--no-fund", "--loglevel=error"];
  step("npm install", viaNode ? process.execPath : "npm", viaNode ? [npm, ...args] : args);
  const wrong = packagesNeeded();
  if (wrong !== undefined) fail(`npm install: ${wrong}`);
}

// ---- the addon --------------------------------------------------------------------------------------------------

function addonHash() {
  const { version } = JSON.parse(readText(at("package.json")));
  const words = [
    process.version,
    process.platform,
    process.arch,
    process.versions.modules,
    process.env.CC ?? "",
    version,
  ];
  return hash(words, [at("binding.gyp"), ...filesUnder(at("native"))]);
}

const addonReady = () => existsSync(addon) && readText(addonStamp) === addonHash();

function requireToolchain() {
  const runs = (command, args) => spawnSync(command, args, { stdio: "ignore" }).status === 0;
  const compiler = process.env.CC?.split(" ")[0] || "cc";
  const missing = [
    ["python3", ["--version"]],
    ["make", ["--version"]],
    [compiler, ["--version"]],
  ].flatMap(([command, args]) => (runs(command, args) ? [] : [command]));
  if (missing.length > 0) {
    fail(
      `building the addon takes python3, make and a C compiler; not found: ${missing.join(", ")}` +
        `\nsetup: on Debian and Ubuntu: apt-get install python3 make gcc libc6-dev`,
    );
  }
}

function buildAddon() {
  requireToolchain();
  const sum = addonHash();
  rmSync(addonStamp, { force: true });
  // With the headers of the running Node, node-gyp downloads none.
  const headers = headersOfThisNode();
  const gyp = at("node_modules", "node-gyp", "bin", "node-gyp.js");
  const args = [gyp, "configure", "build", "--release", "-j", "max"];
  if (headers !== undefined) args.push(`--nodedir=${headers}`);
  // gyp links with the C++ compiler by default. The addon is C, so a C compiler is enough.
  const env = { LINK: process.env.LINK ?? process.env.CC ?? "cc" };
  // A warning is an error here. It is not one in binding.gyp, because users who build from source have other compilers.
  env.GYP_DEFINES = `${process.env.GYP_DEFINES ?? ""} warnings_are_errors=1`;
  step("node-gyp build", process.execPath, args, env);
  if (!existsSync(addon)) fail(`node-gyp build: ${relative(root, addon)} was not made`);
  writeFileSync(addonStamp, sum);
}

// ---- TypeScript -------------------------------------------------------------------------------------------------

const sources = () =>
  compiledFolders.flatMap(([from]) => filesUnder(at(from), (name) => name.endsWith(".ts") && !name.endsWith(".d.ts")));

/** The sources of the inspector's page. tsc only checks their types. */
const pageSources = () => filesUnder(at("page"));

/** The files that a source compiles to: the JavaScript and its declarations. */
function outputsOf(source) {
  const path = relative(root, source);
  const [from, to] = compiledFolders.find(([folder]) => path.startsWith(folder + sep));
  const stem = at(to, relative(from, path).replace(/\.ts$/, ""));
  return [`${stem}.js`, `${stem}.d.ts`];
}

function compiledHash() {
  const configs = ["tsconfig.json", "tsconfig.base.json", "tsconfig.src.json", "package.json", "package-lock.json"];
  const sum = hash([], [...configs.map((name) => at(name)), ...sources(), ...pageSources()]);
  // tsc may have been run without this script, on other contents. The dates of its build info show that.
  const infos = buildInfos.map((file) => (existsSync(file) ? statSync(file).mtimeMs : 0));
  return `${sum} ${infos.join(" ")}`;
}

const outputsMissing = () => sources().some((source) => outputsOf(source).some((file) => !existsSync(file)));
const compiledReady = () =>
  readText(compiledStamp) === compiledHash() && existsSync(developmentManifest) && !outputsMissing();

/** Removes compiled files whose source was deleted. Otherwise a deleted test would still run. */
function removeStaleOutputs() {
  const known = new Set(sources().flatMap(outputsOf));
  for (const [, to] of compiledFolders) {
    for (const file of filesUnder(at(to), (name) => /\.(js|d\.ts)(\.map)?$/.test(name))) {
      if (!known.has(file.replace(/\.map$/, ""))) rmSync(file);
    }
  }
}

/**
 * Writes out/package.json. For the compiled tests, benchmarks and examples in out/, it resolves "berkeley" to the
 * compiled files of the public entries, and "#berkeley/..." to internal files. scripts/bundle.mjs makes the package
 * that users install of the same files.
 */
function writeDevelopmentManifest() {
  const { name, version, exports } = JSON.parse(readText(at("package.json")));
  const toLib = (path) => path.replace(/^\.\/dist\//, "./lib/");
  const entries = Object.entries(exports).filter(([, target]) => typeof target === "object");
  const manifest = {
    name,
    version,
    private: true,
    type: "module",
    exports: {
      ...Object.fromEntries(
        entries.map(([path, { types, default: file }]) => [path, { types: toLib(types), default: toLib(file) }]),
      ),
      "./package.json": "./package.json",
    },
    imports: { "#berkeley/*.js": "./lib/*.js" },
  };
  writeFileSync(developmentManifest, `${JSON.stringify(manifest, undefined, 2)}\n`);
}

function compile(force) {
  rmSync(compiledStamp, { force: true });
  removeStaleOutputs();
  const args = [at("node_modules", "typescript", "bin", "tsc"), "-b", "tsconfig.json"];
  // tsc does not notice that an output was deleted.
  if (force || outputsMissing()) args.push("--force");
  step("tsc -b", process.execPath, args);
  writeDevelopmentManifest();
  writeFileSync(compiledStamp, compiledHash());
}

// ---- the page of the inspector ----------------------------------------------------------------------------------

const pageHash = () => hash([], [at("package-lock.json"), at("scripts", "page.mjs"), ...pageSources()]);
const pageReady = () => existsSync(page) && readText(pageStamp) === pageHash();

function buildPage() {
  rmSync(pageStamp, { force: true });
  step("page of the inspector", process.execPath, [at("scripts", "page.mjs")]);
  writeFileSync(pageStamp, pageHash());
}

// ---- one at a time ----------------------------------------------------------------------------------------------

function isRunning(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

/** Takes the lock: a file that contains our pid. It is made by link(2), so it never exists without its content. */
function takeLock() {
  const mine = `${lock}.${process.pid}`;
  writeFileSync(mine, String(process.pid));
  let reported = false;
  try {
    for (;;) {
      try {
        linkSync(mine, lock);
        return;
      } catch (error) {
        if (error.code !== "EEXIST") throw error;
      }
      const holder = readText(lock);
      if (holder !== "" && !isRunning(Number(holder))) {
        // The holder died. Two processes may notice it; only one of them can rename the file.
        const dead = `${lock}.dead.${process.pid}`;
        try {
          renameSync(lock, dead);
          if (readText(dead) !== holder) linkSync(dead, lock);
        } catch (error) {
          if (error.code !== "ENOENT" && error.code !== "EEXIST") throw error;
        }
        rmSync(dead, { force: true });
        continue;
      }
      if (!reported) process.stderr.write(`setup: waiting for another set-up (process ${holder})\n`);
      reported = true;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
    }
  } finally {
    rmSync(mine, { force: true });
  }
}

// A step removes its stamp first and writes it again after a success. So the stamps can be read without the lock.
requireMatchingLock();
if (packagesNeeded() !== undefined || !addonReady() || !compiledReady() || !pageReady()) {
  takeLock();
  process.on("exit", () => rmSync(lock, { force: true }));
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => process.exit(1));

  const packages = packagesNeeded();
  if (packages !== undefined) installPackages();
  if (!addonReady()) buildAddon();
  if (!compiledReady()) compile(packages !== undefined);
  if (!pageReady()) buildPage();
}
