// Checks the tarball that `npm publish` would send: npm run pack:check
//
//   1. The script makes the prebuilt addons, the bundle and the declarations, and `npm pack` makes the tarball.
//   2. The files of the tarball are those of etc/package-files.txt, within the limits of size and number.
//   3. Its code imports no package, its files contain no path of this machine, its manifest has no install script, and
//      the links of its documents lead to files in it.
//   4. Its C sources build an addon without a warning, and the addon loads.
//   5. publint and attw ("are the types wrong") find nothing.
//   6. It is installed with --ignore-scripts into an empty folder, without a compiler on the PATH. A smoke test of each
//      entry, README's program and the command run there under each Node, and again after `npm ci`.
//
//   npm run pack:check -- --update      writes etc/package-files.txt
//   npm run pack:check -- --node PATH   also runs the package under this Node; can be given several times
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join, posix } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { gzipSync } from "node:zlib";
import { BUNDLED } from "./bundled.mjs";
import { installConsumers } from "./consumers.mjs";
import { headersOfThisNode } from "./headers.mjs";
import { nodesInstalled } from "./nodes.mjs";
import { npm, pack } from "./packed.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = join(root, "out", "pack");
const golden = join(root, "etc", "package-files.txt");
const { values: options } = parseArgs({
  options: { update: { type: "boolean", default: false }, node: { type: "string", multiple: true, default: [] } },
});

/** Limits of the package, in bytes and files. The files of UNCOUNTED do not count. */
const LIMITS = { packed: 1_200_000, unpacked: 3_500_000, files: 80 };
/** The manual pages and the page of the inspector. */
const UNCOUNTED = /^dist\/(?:man|inspect\/page)\//;
/** The kinds of files, for the report of sizes. */
const KINDS = {
  maps: /\.map$/,
  "command line": /^dist\/cli\//,
  declarations: /\.d\.ts$/,
  JavaScript: /\.js$/,
  documents: /\.md$/,
  "native sources": /\.(?:c|gyp)$/,
  addons: /\.node$/,
};
/** The only commands on the PATH of programs that use the package. So they find no compiler, no make and no python3. */
const COMMANDS = ["sh", "env"];

function fail(message) {
  process.stderr.write(`pack:check: ${message}\n`);
  process.exit(1);
}

function say(message) {
  process.stdout.write(`pack:check: ${message}\n`);
}

function run(what, command, args, settings = {}) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd: root, encoding: "utf8", ...settings });
  if (status !== 0) fail(`${what} failed: ${error?.message ?? `status ${status}`}\n${stdout ?? ""}${stderr ?? ""}`);
  return stdout;
}

function readTarball(path) {
  const names = run("tar", "tar", ["-tzf", path]).trim().split("\n");
  return names.map((name) => name.replace(/^package\//, "")).toSorted();
}

function checkFiles(names) {
  const list = `${names.join("\n")}\n`;
  if (options.update) writeFileSync(golden, list);
  const wanted = existsSync(golden) ? readFileSync(golden, "utf8") : "";
  if (list === wanted) return;
  const had = new Set(wanted.trim().split("\n"));
  const more = names.filter((name) => !had.has(name));
  const less = [...had].filter((name) => name !== "" && !names.includes(name));
  fail(
    `the files of the tarball are not those of etc/package-files.txt: ${more.length} more (${more.join(", ")}), ` +
      `${less.length} missing (${less.join(", ")}). If that is meant: npm run pack:check -- --update`,
  );
}

function checkSizes({ filename, size, unpackedSize, files }) {
  const [uncounted, counted] = [true, false].map((not) => files.filter(({ path }) => UNCOUNTED.test(path) === not));
  const sizeOf = (list) => list.reduce((sum, file) => sum + file.size, 0);
  // The compressed size of the files that do not count. Compressed together they are smaller than one by one.
  const bytes = uncounted.map(({ path }) => readFileSync(join(root, path)));
  const packed = size - gzipSync(Buffer.concat(bytes), { level: 9 }).length;
  const figures = { packed, unpacked: sizeOf(counted), files: counted.length };
  const kindOf = ({ path }) => Object.keys(KINDS).find((kind) => KINDS[kind].test(path));
  for (const kind of Object.keys(KINDS)) {
    const own = counted.filter((file) => kindOf(file) === kind);
    say(`  ${kind}: ${sizeOf(own)} bytes in ${own.length} files`);
  }
  say(
    `whole: ${size} packed, ${unpackedSize} unpacked, ${files.length} files, of them ${sizeOf(uncounted)} not counted`,
  );
  const shown = Object.entries(figures).map(([name, figure]) => `${figure} ${name} (limit ${LIMITS[name]})`);
  say(`${filename}: ${shown.join(", ")}`);
  for (const [name, limit] of Object.entries(LIMITS)) {
    if (figures[name] > limit) fail(`the package has ${figures[name]} ${name}, required at most ${limit}`);
  }
}

/** Checks that the code and the declarations import only modules of Node and files of the package. */
function checkImports(installed) {
  const text = /\.(js|d\.ts)$/;
  for (const name of readdirSync(join(installed, "dist"), { recursive: true }).filter((path) => text.test(path))) {
    // Examples in doc comments import the package by its name.
    const source = readFileSync(join(installed, "dist", name), "utf8").replace(/\/\*[^]*?\*\//g, "");
    const named = [
      ...source.matchAll(
        /\b(?:import|export)\b[^;]*?from\s*"([^"]+)";|\bimport\s*"([^"]+)";|\bimport\(["`]([^"`]+)["`]\)/gm,
      ),
    ];
    for (const [, ...specifiers] of named) {
      const specifier = specifiers.find((one) => one !== undefined);
      if (!/^(node:|\.{1,2}\/)/.test(specifier))
        fail(`dist/${name} imports ${JSON.stringify(specifier)}: the package has no dependency`);
    }
  }
}

/** The packages inside the bundle: each has its licence, and only the command line loads them. */
function checkBundled(installed) {
  const dist = join(installed, "dist");
  for (const name of BUNDLED) {
    const path = join(dist, "cli", `${name}.js`);
    if (!existsSync(path)) fail(`dist/cli/${name}.js is missing, required the bundled package ${name}`);
    const { version } = JSON.parse(readFileSync(join(root, "node_modules", name, "package.json"), "utf8"));
    const licence = readFileSync(join(root, "node_modules", name, "LICENSE"), "utf8").trim();
    const begins = `/*! ${name} ${version}\n\n${licence.replaceAll("*/", "* /")}\n*/`;
    if (!readFileSync(path, "utf8").startsWith(begins)) fail(`dist/cli/${name}.js does not begin with its licence`);
  }
  const { exports } = JSON.parse(readFileSync(join(installed, "package.json"), "utf8"));
  const entries = Object.values(exports).flatMap((target) => target.default ?? []);
  const seen = new Set(entries.map((target) => join(installed, target)));
  for (const file of seen) {
    const loaded = BUNDLED.find((name) => file === join(dist, "cli", `${name}.js`));
    if (loaded !== undefined || file.startsWith(join(dist, "cli"))) {
      fail(`an entry of the library loads ${file.slice(installed.length + 1)}, required none of the command line`);
    }
    const named = readFileSync(file, "utf8").matchAll(
      /(?:\bfrom\s*|\bimport\s*|\bimport\()["`](\.{1,2}\/[^"`]+)["`]/gm,
    );
    for (const [, specifier] of named) seen.add(join(file, "..", specifier));
  }
}

function checkManifest(manifest) {
  for (const kind of ["dependencies", "optionalDependencies", "peerDependencies", "bundleDependencies"]) {
    if (Object.keys(manifest[kind] ?? {}).length > 0) fail(`package.json has ${kind}, required none`);
  }
  for (const hook of ["preinstall", "install", "postinstall", "prepublish"]) {
    if (manifest.scripts?.[hook] !== undefined)
      fail(`package.json has the script ${hook}, required none that runs on install`);
  }
  if (manifest.gypfile !== false)
    fail('package.json lacks "gypfile": false, without which npm builds from binding.gyp on install');
}

function checkText(installed, names) {
  for (const name of names) {
    const bytes = readFileSync(join(installed, name));
    if (bytes.includes(root)) fail(`${name} contains the path of this checkout`);
  }
  const readme = readFileSync(join(installed, "README.md"), "utf8");
  for (const page of names.filter((name) => name.endsWith(".md"))) {
    const text = page === "README.md" ? readme : readFileSync(join(installed, page), "utf8");
    for (const [, target] of text.matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      const file = posix.normalize(posix.join(posix.dirname(page), target));
      if (!names.includes(file)) fail(`${page} links to ${target}, which is not in the package`);
    }
  }
}

/** Builds the addon from the C sources in the package, as users do on platforms without a prebuilt addon. */
function buildFromSource(from) {
  const place = join(folder, "source");
  cpSync(from, place, { recursive: true });
  rmSync(join(place, "prebuilds"), { recursive: true });
  const headers = headersOfThisNode();
  const gyp = [join(root, "node_modules", "node-gyp", "bin", "node-gyp.js"), "rebuild"];
  if (headers !== undefined) gyp.push(`--nodedir=${headers}`);
  const env = { ...process.env, LINK: process.env.CC ?? "cc", GYP_DEFINES: "warnings_are_errors=1" };
  run("the build from source", process.execPath, gyp, { cwd: place, env });
  const program =
    'import("./dist/index.js").then(({ listen }) => listen({ port: 0 })).then((server) => server.close())';
  run("the addon that was built from source", process.execPath, ["-e", program], { cwd: place });
  say("the sources in the package build an addon that loads");
}

/** The first TypeScript block of README that has a server and a client. Users can paste it into a file. */
function readmeProgram(installed) {
  const blocks = [...readFileSync(join(installed, "README.md"), "utf8").matchAll(/```ts\n([\s\S]*?)```/g)];
  const block = blocks.find(([, text]) => text.includes(".accept()") && text.includes(".connect("));
  if (block === undefined) fail("README.md has no block with a server and a client");
  return block[1];
}

/** Makes a folder with the commands of COMMANDS only, for the PATH. */
function barePath() {
  const bin = join(folder, "bin");
  mkdirSync(bin, { recursive: true });
  for (const command of COMMANDS) {
    const place = process.env.PATH.split(":")
      .map((part) => join(part, command))
      .find((path) => existsSync(path));
    if (place !== undefined) symlinkSync(place, join(bin, command));
  }
  return bin;
}

/**
 * A port that nothing uses. README's program has a fixed port, which connections of an earlier run in TIME_WAIT may
 * still occupy.
 */
async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  return port;
}

/** Runs the package that is installed in `place` under a Node, with `path` as its PATH. */
async function useIn(place, node, path) {
  const program = readFileSync(join(place, "js", "readme.js"), "utf8");
  writeFileSync(join(place, "readme.mjs"), program.replaceAll("8888", String(await freePort())));
  const env = { PATH: path, HOME: place, TMPDIR: process.env.TMPDIR ?? "/tmp" };
  const settings = { cwd: place, env, timeout: 60_000, killSignal: "SIGKILL" };
  run(`the smoke test under ${node}`, node, ["smoke.mjs"], settings);
  run(`README's program under ${node}`, node, ["readme.mjs"], settings);
  run(
    `the command under ${node}`,
    node,
    [join("node_modules", "berkeley", "dist", "cli", "main.js"), "steps", "--once", "--port", "0"],
    settings,
  );
}

rmSync(folder, { force: true, recursive: true });
mkdirSync(folder, { recursive: true });
run("npm run prebuild", process.execPath, [join(root, "scripts", "prebuild.mjs")], { stdio: "inherit" });
run("bundling", process.execPath, [join(root, "scripts", "bundle.mjs")]);
const description = pack(folder);
const names = readTarball(description.path);
checkFiles(names);
checkSizes(description);

const installed = join(folder, "unpacked");
mkdirSync(installed);
run("tar", "tar", ["-xzf", description.path, "-C", installed, "--strip-components=1"]);
checkManifest(JSON.parse(readFileSync(join(installed, "package.json"), "utf8")));
checkImports(installed);
checkBundled(installed);
checkText(installed, names);
say(`${names.filter((name) => name.startsWith("prebuilds/")).join(", ")}`);

buildFromSource(installed);
const tools = installConsumers();
run("publint", process.execPath, [join(tools, "publint", "src", "cli.js"), description.path, "--strict"]);
run("attw", process.execPath, [
  join(tools, "@arethetypeswrong", "cli", "dist", "index.js"),
  description.path,
  "--profile",
  "esm-only",
  "--no-color",
]);
say("publint and attw found nothing");

const place = join(folder, "empty");
mkdirSync(place);
writeFileSync(join(place, "package.json"), '{ "name": "app", "private": true, "type": "module" }\n');
npm(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", place, description.path]);
cpSync(join(root, "test", "consumers", "smoke.mjs"), join(place, "smoke.mjs"));
const typescript = join(root, "node_modules", "typescript", "bin", "tsc");
writeFileSync(join(place, "readme.ts"), readmeProgram(installed));
cpSync(join(root, "node_modules", "@types"), join(place, "node_modules", "@types"), { recursive: true });
cpSync(join(root, "node_modules", "undici-types"), join(place, "node_modules", "undici-types"), { recursive: true });
const tsconfig = {
  compilerOptions: {
    outDir: "js",
    module: "nodenext",
    target: "es2022",
    lib: ["es2023", "esnext.disposable"],
    strict: true,
    types: ["node"],
  },
  files: ["readme.ts"],
};
writeFileSync(join(place, "tsconfig.json"), JSON.stringify(tsconfig));
run("compiling README's program", process.execPath, [typescript, "-p", place]);

const path = barePath();
const nodes = [process.execPath, ...nodesInstalled(), ...options.node];
for (const node of nodes) {
  await useIn(place, node, path);
  say(`installed and used under node ${run("node", node, ["--version"]).trim()}`);
}
npm(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", place]);
await useIn(place, process.execPath, path);
say("a second npm ci keeps it working; all passed");
