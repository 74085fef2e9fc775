// Limits of the sources: no import cycle, no folder that is too large, no file that is too long, no file name twice.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { posix } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const src = join(root, "src");

function filesOf(folder: string, ends: RegExp): Map<string, string> {
  const paths = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((path) => ends.test(path));
  return new Map(paths.map((path) => [path, readFileSync(join(folder, path), "utf8")]));
}

const files = filesOf(src, /\.ts$/);

const withoutComments = (text: string): string => text.replace(/^[ \t]*(?:\/\*[^]*?\*\/|\/\/[^\n]*)\n/gm, "");

const lines = (text: string): number => text.split("\n").length - 1;

/** The files whose values each file imports. `export … from` counts too. */
function valueImports(sources: ReadonlyMap<string, string>): Map<string, string[]> {
  const imports = new Map<string, string[]>();
  for (const [path, text] of sources) {
    const found: string[] = [];
    for (const match of withoutComments(text).matchAll(
      /^(?:import|export)\s+(type\s+)?(?:\{([^}]*)\}\s+from\s+|[^"'{;]*?\sfrom\s+)?"(\.[^"]+)"/gm,
    )) {
      const [, typeOnly, names, specifier = ""] = match;
      const onlyTypes = names?.split(",").every((name) => /^\s*(?:type\s|$)/.test(name)) ?? false;
      if (typeOnly !== undefined || onlyTypes) continue;
      found.push(posix.join(posix.dirname(path), specifier).replace(/\.js$/, ".ts"));
    }
    imports.set(path, found);
  }
  return imports;
}

/** Groups of files that import each other in a circle: the strongly connected components of Tarjan's algorithm. */
function circles(imports: ReadonlyMap<string, readonly string[]>): string[][] {
  const index = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const found: string[][] = [];
  const visit = (node: string): void => {
    index.set(node, index.size);
    low.set(node, index.get(node)!);
    stack.push(node);
    for (const next of imports.get(node) ?? []) {
      if (!index.has(next)) visit(next);
      if (stack.includes(next)) low.set(node, Math.min(low.get(node)!, low.get(next)!));
    }
    if (low.get(node) !== index.get(node)) return;
    const group = stack.splice(stack.indexOf(node));
    if (group.length > 1 || (imports.get(node) ?? []).includes(node)) found.push(group.toSorted());
  };
  for (const node of imports.keys()) if (!index.has(node)) visit(node);
  return found;
}

test("no circle of imports between files is more than a type", () => {
  assert.deepEqual(circles(valueImports(files)), []);
});

test("circles() finds a circle, and takes no import of a type for one", () => {
  const sources = new Map([
    ["a/one.ts", 'import { two } from "./two.js";\n'],
    ["a/two.ts", 'export { three } from "../b/three.js";\n'],
    ["b/three.ts", 'import {\n  type Two,\n  one,\n} from "../a/one.js";\n'],
    ["b/four.ts", 'import type { One } from "../a/one.js";\nimport { type Two } from "../a/two.js";\n'],
  ]);
  assert.deepEqual(circles(valueImports(sources)), [["a/one.ts", "a/two.ts", "b/three.ts"]]);
});

test("no folder of src/ has more than a fifth of its lines", () => {
  const sizes = new Map<string, number>();
  let total = 0;
  for (const [path, text] of files) {
    // The command line is a program on the package. Its subfolders count one by one.
    const depth = path.startsWith("cli/") ? 2 : 1;
    const folder = path.split("/").slice(0, depth).join("/");
    sizes.set(folder, (sizes.get(folder) ?? 0) + lines(text));
    total += lines(text);
  }
  assert.deepEqual(
    [...sizes].filter(([, size]) => size > total / 5),
    [],
  );
});

/** Tables, and lists of exports. */
const tables = new Set(["sys/constants.ts", "common.ts", "constants.c"]);
/** The lists of the calls of the sockets and of the stream: most of their lines are the documentation of the calls. */
const catalogues = new Set(["socket/socket.ts", "sync/syncSocket.ts", "stream/stream.ts"]);

test("no source file has more than 400 lines", () => {
  const long: string[] = [];
  for (const [path, text] of [...files, ...filesOf(join(root, "native"), /\.[ch]$/)]) {
    if (tables.has(path) || path.endsWith("index.ts")) continue;
    const size = lines(catalogues.has(path) ? withoutComments(text) : text);
    if (size > 400) long.push(`${path}: ${size}`);
  }
  assert.deepEqual(long, []);
  for (const path of catalogues) assert.ok(files.has(path), path);
});

test("no file name occurs in two folders of src/", () => {
  const folders = new Map<string, string[]>();
  for (const path of files.keys()) {
    const name = basename(path);
    // A file of the command line has the name of its command. It imports the package as users do.
    if (name !== "index.ts" && !path.startsWith("cli/")) folders.set(name, [...(folders.get(name) ?? []), path]);
  }
  assert.deepEqual(
    [...folders.values()].filter((paths) => paths.length > 1),
    [],
  );
});
