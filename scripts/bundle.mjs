// Makes dist/, the code that users install, of the compiled files in out/lib: a file for each public entry, and the
// chunks that the entries share.
//
// Rolldown joins the files, and removes comments, spaces and the names of local variables. Functions, classes and the
// top level keep their names, and scripts/shippedCode.mjs breaks the lines, so a stack trace is readable without source
// maps. The source maps contain the text of src/, so a debugger shows the sources without src/ in the package.
//
// The entries share their declarations too. TypeScript accepts a class with private members only where the same
// declaration is required, so `Stream` of "berkeley" and of "berkeley/testing" must be one declaration.
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { dirname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { decode } from "@jridgewell/sourcemap-codec";
import { rolldown } from "rolldown";
import { parseAst } from "rolldown/parseAst";
import { dts } from "rolldown-plugin-dts";
import { amalgam } from "./amalgam.mjs";
import { BUNDLED } from "./bundled.mjs";
import { writePage } from "./page.mjs";
import { changed, joinReexports, thinMap, withLines } from "./shippedCode.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const lib = join(root, "out", "lib");
const dist = join(root, "dist");
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

/** The file of each public entry, relative to dist/ and without its extension: "index", "sync/index", "cli/main". */
const stems = [...Object.values(manifest.exports), ...Object.values(manifest.bin)]
  .map((target) => (typeof target === "string" ? target : target.default))
  .flatMap((path) => /^\.\/dist\/(.*)\.js$/.exec(path)?.[1] ?? []);

const builtin = new Set(builtinModules.flatMap((name) => [name, `node:${name}`]));

function fail(message) {
  process.stderr.write(`bundle: ${message}\n`);
  process.exit(1);
}

/** Loads the source maps of tsc. Without them the maps of the bundle would refer to the compiled files. */
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
 * Replaces the calls of constant() in sys/constants.js by one statement, because 700 calls take about a millisecond at
 * each import. The bundle does not need the check of constant(): here each name is looked up in native/constants.c.
 */
const constantsAtOnce = {
  name: "constants-at-once",
  transform(code, id) {
    if (id !== join(lib, "sys", "constants.js")) return undefined;
    const line = /^export const (\w+) = constant\("\1"\);$/gm;
    const table = readFileSync(join(root, "native", "constants.c"), "utf8");
    const names = Array.from(code.matchAll(line), ([, name]) => name);
    const missing = names.find((name) => !table.includes(`C(${name})`));
    if (missing !== undefined) fail(`native/constants.c has no ${missing}`);
    const rest = code.replace(line, "").replace(/^function constant\(.*?^}$/ms, "");
    if (names.length < 600 || /\bconstant\(/.test(rest)) fail("sys/constants.js has lines that are no constants");
    return { code: `${rest}\nexport const { ${names.join(", ")} } = addon.constants;\n`, map: null };
  },
};

/**
 * The re-exports of a file that only re-exports from one other chunk: [chunk, [[name, name in the chunk], ...]].
 * Undefined for other files. Rolldown makes such a file for each module that is imported dynamically and is in a chunk
 * with other modules.
 */
function reexportsOf(code) {
  const { body } = parseAst(code);
  const { type, source, specifiers } = body[0];
  if (body.length > 1 || type !== "ExportNamedDeclaration" || !source) return undefined;
  return [source.value, specifiers.map(({ local, exported }) => [exported.name, local.name])];
}

/** Makes the command line import its chunks directly instead of files that only re-export: 90 files become five. */
function joinCommandLine() {
  const folder = join(dist, "cli");
  const codes = new Map(
    readdirSync(folder)
      .filter((name) => name.endsWith(".js"))
      .map((name) => [name, readFileSync(join(folder, name), "utf8")]),
  );
  const targets = new Map();
  for (const [name, code] of codes) {
    const reexports = name === "main.js" ? undefined : reexportsOf(code);
    if (reexports !== undefined) targets.set(name, reexports);
  }
  for (const [name, code] of codes) {
    if (targets.has(name)) continue;
    const joined = code.replace(/\bimport\([`"]\.\/([^`"]+)[`"]\)/g, (found, target) => {
      const [chunk, names] = targets.get(target) ?? [];
      if (chunk === undefined) return found;
      return `import("${chunk}").then(e=>({${names.map(([one, other]) => `${one}:e.${other}`).join()}}))`;
    });
    if (joined !== code) writeFileSync(join(folder, name), joined);
  }
  for (const name of targets.keys()) rmSync(join(folder, name));
}

/**
 * The files without source maps, which users do not debug: the command line, the inspector, the test doubles, the codec
 * of pcapng, and the code that receives the sockets of an upgrade.
 */
const isTool = (name) => /^(?:(?:cli|inspect|testing|pcapng)\/|chunks\/(?:lessonRuns|inheritance|pcapng))/.test(name);

/** Breaks the lines of a file that Rolldown has written, shortens its re-exports and its source map. */
function finish(name) {
  const path = join(dist, name);
  const code = readFileSync(path, "utf8");
  const body = code.replace(/\n\/\/# sourceMappingURL=.*\n?$/, "\n");
  const map = existsSync(`${path}.map`) ? JSON.parse(readFileSync(`${path}.map`, "utf8")) : undefined;
  const shorter = changed(body, map && decode(map.mappings), joinReexports(body, "js"));
  const { code: lined, mappings } = withLines(shorter.code, shorter.mappings);
  if (isTool(name)) {
    rmSync(`${path}.map`, { force: true });
    writeFileSync(path, lined);
    return;
  }
  writeFileSync(path, lined + code.slice(body.length - 1).replace(/^\n/, ""));
  if (map !== undefined) writeFileSync(`${path}.map`, JSON.stringify(thinMap({ ...map, mappings })));
}

/**
 * The entries that import each module, directly or not. They decide the chunk of the module, so a chunk changes its
 * name only if the entries change. "base" has the modules that berkeley/testing shares with a socket, "system" those of
 * both kinds of socket, "net" those of the awaitable sockets only. No entry loads a chunk that it does not need, except
 * that berkeley/sync loads 4 kB of "base" that it does not use. One more chunk for these would make each import of
 * "berkeley" a millisecond slower.
 *
 * A module that the main entry imports dynamically counts as an entry, whose name is its path. It gets a file of its
 * own, with the modules that only this file imports. "servers" has those that it shares with other such files and with
 * berkeley/server.
 */
const entriesOf = new Map();
/** The files of the command line that import the library, and so load the addon. */
const withLibrary = new Set();
const cli = join(lib, "cli") + sep;
const reachability = {
  name: "reachability",
  buildEnd() {
    const importers = (id) => this.getModuleInfo(id)?.importers ?? [];
    const waitingForImporters = [...this.getModuleIds()].filter((id) => id.startsWith(lib) && !id.startsWith(cli));
    for (let id = waitingForImporters.pop(); id !== undefined; id = waitingForImporters.pop()) {
      for (const next of importers(id)) {
        if (!next.startsWith(cli) || withLibrary.has(next)) continue;
        withLibrary.add(next);
        waitingForImporters.push(next);
      }
    }
    const mark = (entry, first) => {
      const waiting = [first];
      const seen = new Set(waiting);
      for (let id = waiting.pop(); id !== undefined; id = waiting.pop()) {
        entriesOf.set(id, (entriesOf.get(id) ?? new Set()).add(entry));
        for (const next of this.getModuleInfo(id)?.importedIds ?? []) {
          if (!seen.has(next) && next.startsWith(lib)) waiting.push(next);
          seen.add(next);
        }
      }
    };
    for (const stem of stems.filter((one) => !one.startsWith("cli/"))) mark(stem, join(lib, `${stem}.js`));
    const ofMain = [...entriesOf].filter(([, entries]) => entries.has("index")).map(([id]) => id);
    for (const first of new Set(ofMain.flatMap((id) => this.getModuleInfo(id)?.dynamicallyImportedIds ?? []))) {
      mark(first, first);
    }
  },
};

function chunkOf(id) {
  // Help, manual pages and completions load "frame" only.
  if (id.startsWith(cli)) {
    if (id === join(cli, "main.js") || id === join(cli, "inspect", "run.js")) return null;
    return withLibrary.has(id) ? "tools" : "frame";
  }
  const entries = entriesOf.get(id);
  // A module that only one entry imports is in the file of that entry. Exception: the command line imports the modules
  // of the main entry too, so these are in a chunk.
  if (entries === undefined || (entries.size === 1 && !entries.has("index"))) return null;
  // The inspector writes captures; the main entry does not load that code.
  if (entries.has("pcapng/index") && !entries.has("index")) return "pcapng";
  if (entries.has("testing/index")) return "base";
  if (!entries.has("index") && !entries.has("sync/index")) {
    return [...entries].some((entry) => entry.startsWith(lib)) ? "servers" : "net";
  }
  return entries.has("sync/index") ? "system" : "net";
}

const modules = join(root, "node_modules");

/** The package of a file under node_modules/, or undefined. */
const packageOf = (id) => (id.startsWith(modules + sep) ? id.slice(modules.length + 1).split(sep)[0] : undefined);

/**
 * Refuses imports of other packages: these would become dependencies, or would be shipped without their licence. Only
 * the command line may import the packages of BUNDLED.
 */
const refusePackages = {
  name: "refuse-packages",
  resolveId(source, importer) {
    if (builtin.has(source)) return { id: source, external: true };
    if (builtin.has(`node:${source}`)) return { id: `node:${source}`, external: true };
    if (source === manifest.name || source.startsWith(`${manifest.name}/`)) {
      const target = manifest.exports[`.${source.slice(manifest.name.length)}`]?.default;
      if (target !== undefined) return { id: join(lib, target.replace("./dist/", "")) };
    }
    if (/^[./]/.test(source)) return undefined;
    if (BUNDLED.includes(source) && importer?.startsWith(cli)) return undefined;
    return fail(`${JSON.stringify(source)} is imported, and neither Node nor the package has it`);
  },
};

/** The first comment of the chunk of a bundled package: its name, version and licence. */
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
    plugins: [refusePackages, mapsOfTsc, constantsAtOnce, reachability],
    platform: "node",
    // Required for chunkOf(): a chunk has only the modules that chunkOf() assigns to it.
    preserveEntrySignatures: "allow-extension",
    treeshake: {
      moduleSideEffects: (id, external) => !external && (id.startsWith(lib) || packageOf(id) !== undefined),
    },
    // Modules that the command line imports dynamically are in one chunk with other modules, on purpose.
    checks: { pluginTimings: false, ineffectiveDynamicImport: false },
    onLog,
  });
  await build.write({
    dir: dist,
    format: "esm",
    sourcemap: true,
    entryFileNames: "[name].js",
    // Without a hash, because etc/package-files.txt lists the files of the package.
    chunkFileNames: ({ moduleIds }) =>
      moduleIds.every((id) => id.startsWith(cli)) || moduleIds.some(packageOf) ? "cli/[name].js" : "chunks/[name].js",
    codeSplitting: {
      groups: [...BUNDLED.map((name) => ({ name, test: (id) => packageOf(id) === name })), { name: chunkOf }],
      includeDependenciesRecursively: false,
    },
    // The licence is added after the minifier, which removes comments.
    postBanner: licenceOf,
    // V8 stores a text that has a character beyond Latin-1 with two bytes for each character.
    charset: "ascii",
    // V8 compiles shorter code faster. Statements are not joined to expressions, so lines can be broken between them.
    minify: {
      compress: { target: "es2022", keepNames: { function: true, class: true }, sequences: false },
      mangle: { toplevel: false, keepNames: true },
      codegen: true,
    },
    // Makes the paths in a map relative, because absolute paths are those of this machine.
    sourcemapPathTransform: (source, map) => relative(dirname(map), resolve(dirname(map), source)),
    comments: false,
    minifyInternalExports: false,
    // The bundled packages are CommonJS modules and call require().
    polyfillRequire: true,
  });
  await build.close();
}

async function writeTypes() {
  const build = await rolldown({
    input: Object.fromEntries(
      stems.filter((stem) => !stem.startsWith("cli/")).map((stem) => [stem, join(lib, `${stem}.d.ts`)]),
    ),
    plugins: [refusePackages, dts({ dtsInput: true, emitDtsOnly: true, sourcemap: false })],
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
    // Shorter internal names would give each of the thousand constants a second name in each file.
    minifyInternalExports: false,
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
for (const name of readdirSync(dist, { recursive: true })) if (name.endsWith(".js")) finish(name);
joinCommandLine();
await writeTypes();
for (const name of readdirSync(dist, { recursive: true }).filter((one) => one.endsWith(".d.ts"))) {
  const path = join(dist, name);
  const code = readFileSync(path, "utf8").replace(/^\/\/ out\/lib\/.*\n/gm, "");
  writeFileSync(path, changed(code, undefined, joinReexports(code, "dts")).code);
}
await writeManPages();
mkdirSync(join(dist, "native"));
for (const [name, text] of amalgam(join(root, "native"))) writeFileSync(join(dist, "native", name), text);
await writePage(join(dist, "inspect", "page"));
for (const path of Object.values(manifest.bin)) chmodSync(join(root, path), 0o755);
