// Makes dist/, which users install, from the compiled files: a file for each public entry, and the chunks that they
// share. Rolldown joins the files of out/lib. It does not transform code: tsc has compiled it for the oldest supported
// Node. The source maps lead to src/ and carry its text, so a package without src/ shows the sources in stack traces
// and debuggers.
//
// Entries share their declarations as they share their code: a class with private members is compatible only with itself,
// so `Stream` of "berkeley" and of "berkeley/testing" must be one declaration.
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { dirname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { decode, encode } from "@jridgewell/sourcemap-codec";
import { rolldown } from "rolldown";
import { dts } from "rolldown-plugin-dts";
import { BUNDLED } from "./bundled.mjs";
import { writePage } from "./page.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const lib = join(root, "out", "lib");
const dist = join(root, "dist");
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

/** The file of each public entry, relative to dist/ and without its ending: "index", "sync/index", "cli/main". */
const stems = [...Object.values(manifest.exports), ...Object.values(manifest.bin)]
  .map((target) => (typeof target === "string" ? target : target.default))
  .flatMap((path) => /^\.\/dist\/(.*)\.js$/.exec(path)?.[1] ?? []);

const builtin = new Set(builtinModules.flatMap((name) => [name, `node:${name}`]));

function fail(message) {
  process.stderr.write(`bundle: ${message}\n`);
  process.exit(1);
}

/** tsc's own maps, joined with the bundler's: without them the bundle would lead to compiled files. */
const mapsOfTsc = {
  name: "maps-of-tsc",
  load(id) {
    if (!id.startsWith(lib) || !existsSync(`${id}.map`)) return undefined;
    const map = JSON.parse(readFileSync(`${id}.map`, "utf8"));
    map.sources = map.sources.map((source) => resolve(dirname(id), map.sourceRoot ?? "", source));
    delete map.sourceRoot;
    return { code: readFileSync(id, "utf8").replace(/\n\/\/# sourceMappingURL=.*\n?$/, "\n"), map };
  },
};

/**
 * Of the places in a line that lead to the same line of a source, the first one is enough for a stack trace and for a breakpoint. All of
 * them would be a tenth of the package.
 */
function oneForEachLine(lines) {
  return lines.map((segments) =>
    segments
      .filter((segment, index) => {
        const before = segments[index - 1];
        return before === undefined || before[1] !== segment[1] || before[2] !== segment[2];
      })
      // Without the names of variables.
      .map((segment) => segment.slice(0, 4)),
  );
}

/**
 * Comments and imports as empty lines, so that every line keeps its number: the declarations have the doc comments, and the repository
 * the others. A line inside a template may begin with two slashes too; then a debugger shows it empty.
 */
const onlyCode = (source) =>
  source
    .replace(/^import\s[^;]*?from\s*"[^"]+";$/gm, (statement) => "\n".repeat(statement.split("\n").length - 1))
    .replace(/\/\*\*[^]*?\*\//g, (comment) => "\n".repeat(comment.split("\n").length - 1))
    .replace(/^[ \t]*\/\/.*$/gm, "");

const thinMaps = {
  name: "thin-maps",
  generateBundle(_, files) {
    for (const file of Object.values(files)) {
      if (!file.fileName.endsWith(".map")) continue;
      // No source maps for the command line: users debug the library.
      if (file.fileName.startsWith("cli/")) {
        delete files[file.fileName];
        continue;
      }
      const map = JSON.parse(file.source);
      const mappings = encode(oneForEachLine(decode(map.mappings)));
      file.source = JSON.stringify({
        ...map,
        sourcesContent: map.sourcesContent.map(onlyCode),
        names: [],
        mappings,
      });
    }
  },
};

/**
 * The chunk of each module follows from the entries that reach it, so names change only if the entries do: "base" is what
 * berkeley/testing and berkeley/sync have in common, "system" is for both kinds of socket, "stream" for the awaitable ones and
 * for testing, "net" for the awaitable ones alone. A module imports nothing of a chunk that one of its entries does not load.
 */
const reached = new Map();
const reachability = {
  name: "reachability",
  buildEnd() {
    for (const stem of stems.filter((one) => !one.startsWith("cli/"))) {
      const waiting = [join(lib, `${stem}.js`)];
      const seen = new Set(waiting);
      for (let id = waiting.pop(); id !== undefined; id = waiting.pop()) {
        reached.set(id, (reached.get(id) ?? new Set()).add(stem));
        for (const next of this.getModuleInfo(id)?.importedIds ?? []) {
          if (!seen.has(next) && next.startsWith(lib)) waiting.push(next);
          seen.add(next);
        }
      }
    }
  },
};

function chunkOf(id) {
  const entries = reached.get(id);
  // A module that only one entry imports is in the file of that entry. The main entry is a library of the command, so it is a chunk as well.
  if (entries === undefined || (entries.size === 1 && !entries.has("index"))) return null;
  // The inspector writes captures; the main entry does not load that code.
  if (entries.has("pcapng/index") && !entries.has("index")) return "pcapng";
  if (entries.has("sync/index")) return entries.has("testing/index") ? "base" : "system";
  return entries.has("testing/index") ? "stream" : "net";
}

/** The files of the command line that each command loads. */
const FRAME = [
  "commands",
  ...["command", "common", "escape", "failure", "help", "interrupts", "output", "progress"].map(
    (name) => `frame/${name}`,
  ),
  ...["standardOutput", "start", "suggest", "tlsOptions", "units", "values"].map((name) => `frame/${name}`),
];

const modules = join(root, "node_modules");

/** The package of a file under node_modules/, or undefined. */
const packageOf = (id) => (id.startsWith(modules + sep) ? id.slice(modules.length + 1).split(sep)[0] : undefined);

/** Other packages would become a dependency, or be shipped without their licence. Only the command line may have any. */
const nothingElse = {
  name: "nothing-else",
  resolveId(source, importer) {
    if (builtin.has(source)) return { id: source, external: true };
    if (builtin.has(`node:${source}`)) return { id: `node:${source}`, external: true };
    if (source === manifest.name || source.startsWith(`${manifest.name}/`)) {
      const target = manifest.exports[`.${source.slice(manifest.name.length)}`]?.default;
      if (target !== undefined) return { id: join(lib, target.replace("./dist/", "")) };
    }
    if (/^[./]/.test(source)) return undefined;
    if (BUNDLED.includes(source) && importer?.startsWith(join(lib, "cli") + sep)) return undefined;
    return fail(`${JSON.stringify(source)} is imported, and neither Node nor the package has it`);
  },
};

/** The comment with which the chunk of a bundled package begins: its name, version and licence. */
function licenceOf(chunk) {
  const name = chunk.moduleIds.map(packageOf).find((found) => found !== undefined);
  if (name === undefined) return "";
  const { version } = JSON.parse(readFileSync(join(modules, name, "package.json"), "utf8"));
  const licence = readFileSync(join(modules, name, "LICENSE"), "utf8").trim();
  return `/*! ${name} ${version}\n\n${licence.replaceAll("*/", "* /")}\n*/`;
}

function onLog(level, log) {
  if (level !== "debug" && level !== "info") fail(log.message);
}

async function writeCode() {
  const build = await rolldown({
    input: Object.fromEntries(stems.map((stem) => [stem, join(lib, `${stem}.js`)])),
    plugins: [nothingElse, mapsOfTsc, reachability, thinMaps],
    platform: "node",
    // Required for chunkOf(): a chunk has only the modules that chunkOf() assigns to it.
    preserveEntrySignatures: "allow-extension",
    treeshake: {
      moduleSideEffects: (id, external) => !external && (id.startsWith(lib) || packageOf(id) !== undefined),
    },
    checks: { pluginTimings: false },
    onLog,
  });
  await build.write({
    dir: dist,
    format: "esm",
    sourcemap: true,
    entryFileNames: "[name].js",
    // No hash: the files of a version are known beforehand.
    chunkFileNames: ({ moduleIds }) =>
      moduleIds.every((id) => id.startsWith(join(lib, "cli") + sep)) || moduleIds.some(packageOf)
        ? "cli/[name].js"
        : "chunks/[name].js",
    codeSplitting: {
      groups: [
        ...BUNDLED.map((name) => ({ name, test: (id) => packageOf(id) === name })),
        // The modules of a command in one file instead of a dozen.
        { name: "frame", test: (id) => FRAME.some((file) => id === join(lib, "cli", `${file}.js`)) },
        { name: chunkOf },
      ],
      includeDependenciesRecursively: false,
    },
    banner: licenceOf,
    // V8 stores a string that has a character outside Latin-1 with two bytes per character.
    charset: "ascii",
    // Shorter names of local variables are compiled sooner. Functions, classes and all of the top level keep theirs.
    minify: { compress: false, mangle: { toplevel: false, keepNames: true }, codegen: false },
    // Absolute paths would be wrong on other machines. Relative to dist/x.js.map the sources are at ../src.
    sourcemapPathTransform: (source, map) => relative(dirname(map), resolve(dirname(map), source)),
    comments: false,
    minifyInternalExports: false,
    // For the bundled packages, which are CommonJS.
    polyfillRequire: true,
  });
  await build.close();
}

async function writeTypes() {
  const build = await rolldown({
    input: Object.fromEntries(
      stems.filter((stem) => !stem.startsWith("cli/")).map((stem) => [stem, join(lib, `${stem}.d.ts`)]),
    ),
    plugins: [nothingElse, dts({ dtsInput: true, emitDtsOnly: true, sourcemap: false })],
    platform: "node",
    checks: { pluginTimings: false },
    onLog,
  });
  await build.write({
    dir: dist,
    format: "esm",
    entryFileNames: "[name].d.ts",
    chunkFileNames: "chunks/[name].d.ts",
    codeSplitting: { groups: [{ name: "types", minShareCount: 2 }] },
  });
  await build.close();
}

/** The manual pages, from the same descriptions as the help. */
async function writeManPages() {
  const { COMMANDS } = await import(join(lib, "cli", "commands.js"));
  const { manOf, manOfAll } = await import(join(lib, "cli", "frame", "manPage.js"));
  const folder = join(root, manifest.directories.man);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "berkeley.1"), manOfAll(COMMANDS, manifest.version));
  for (const { name, load } of COMMANDS) {
    const { command } = await load();
    writeFileSync(join(folder, `berkeley-${name}.1`), manOf(command, manifest.version));
  }
}

if (!existsSync(join(lib, "index.js"))) fail("out/lib/index.js is missing: run npm run setup");
rmSync(dist, { force: true, recursive: true });
mkdirSync(dist, { recursive: true });
await writeCode();
for (const name of readdirSync(join(dist, "cli"))) {
  const path = join(dist, "cli", name);
  writeFileSync(path, readFileSync(path, "utf8").replace(/\n\/\/# sourceMappingURL=.*\n?$/, "\n"));
}
await writeTypes();
await writeManPages();
await writePage(join(dist, "inspect", "page"));
for (const path of Object.values(manifest.bin)) chmodSync(join(root, path), 0o755);
