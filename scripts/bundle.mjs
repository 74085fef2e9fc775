// What users install, made of what was compiled: dist/ with a file for each public entry and the chunks that they share.
// Rolldown joins the files of out/lib. It changes no code: tsc has compiled for the oldest Node. The source maps lead to
// src/ and carry its text, so a package without src/ shows the sources in stack traces and debuggers.
//
// Entries share their declarations as they share their code: a class with private members is compatible only with itself,
// so `Stream` of "berkeley" and of "berkeley/testing" must be one declaration.
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { builtinModules } from "node:module";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { decode, encode } from "@jridgewell/sourcemap-codec";
import { rolldown } from "rolldown";
import { dts } from "rolldown-plugin-dts";

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
      // Without the names of what stands there.
      .map((segment) => segment.slice(0, 4)),
  );
}

const thinMaps = {
  name: "thin-maps",
  generateBundle(_, files) {
    for (const file of Object.values(files)) {
      if (!file.fileName.endsWith(".map")) continue;
      const map = JSON.parse(file.source);
      file.source = JSON.stringify({ ...map, names: [], mappings: encode(oneForEachLine(decode(map.mappings))) });
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
  // What one entry alone reaches is in its file. The main entry is a library of the command, so it is a chunk as well.
  if (entries === undefined || (entries.size === 1 && !entries.has("index"))) return null;
  if (entries.has("sync/index")) return entries.has("testing/index") ? "base" : "system";
  return entries.has("testing/index") ? "stream" : "net";
}

/** Whatever is neither ours nor Node's would become a dependency, or be shipped without its licence. */
const nothingElse = {
  name: "nothing-else",
  resolveId(source) {
    if (builtin.has(source)) return { id: source, external: true };
    if (source === manifest.name) return { id: join(lib, "index.js") };
    if (!/^[./]/.test(source)) fail(`${JSON.stringify(source)} is imported, and neither Node nor the package has it`);
    return undefined;
  },
};

function onLog(level, log) {
  if (level !== "debug" && level !== "info") fail(log.message);
}

async function writeCode() {
  const build = await rolldown({
    input: Object.fromEntries(stems.map((stem) => [stem, join(lib, `${stem}.js`)])),
    plugins: [nothingElse, mapsOfTsc, reachability, thinMaps],
    platform: "node",
    // A chunk has the modules that chunkOf() gives it and no other; this goes with it.
    preserveEntrySignatures: "allow-extension",
    treeshake: { moduleSideEffects: (id, external) => !external && id.startsWith(lib) },
    checks: { pluginTimings: false },
    onLog,
  });
  await build.write({
    dir: dist,
    format: "esm",
    sourcemap: true,
    entryFileNames: "[name].js",
    // No hash: the files of a version are known beforehand.
    chunkFileNames: "chunks/[name].js",
    codeSplitting: { groups: [{ name: chunkOf }], includeDependenciesRecursively: false },
    // V8 keeps a text with one character beyond Latin-1 in two bytes for each character.
    charset: "ascii",
    // Shorter names of local variables are compiled sooner. Functions, classes and all of the top level keep theirs.
    minify: { compress: false, mangle: { toplevel: false, keepNames: true }, codegen: false },
    // A path of this machine is nothing for a map: from dist/x.js.map the sources are at ../src.
    sourcemapPathTransform: (source, map) => relative(dirname(map), resolve(dirname(map), source)),
    comments: false,
    minifyInternalExports: false,
    polyfillRequire: false,
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

if (!existsSync(join(lib, "index.js"))) fail("out/lib/index.js is missing: run npm run setup");
rmSync(dist, { force: true, recursive: true });
mkdirSync(dist, { recursive: true });
await writeCode();
await writeTypes();
for (const path of Object.values(manifest.bin)) chmodSync(join(root, path), 0o755);
