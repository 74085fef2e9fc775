// Measures which lines of src/ and native/ the tests run.
//
//   npm run coverage                        all tests
//   npm run coverage -- reactor/ sync/      only the test files whose path contains one of these
//   npm run coverage -- --uncovered         also prints the lines that no process ran
//
// For native/, gcc compiles the addon with --coverage, and gcov reads the counts. For src/, V8 counts, and c8
// (tools/coverage, which the first run installs) joins the counts of all processes and maps them to the sources. A
// process that is killed writes no counts.
import { mkdirSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { basename, join, relative } from "node:path";
import { installTools } from "./installTools.mjs";
import { compileShared, compiler, fail, root, run, sources, test } from "./variant.mjs";

const output = join(root, "out", "coverage");
const objects = join(output, "native");
const addon = join(output, "berkeley.node");
const counts = join(output, "v8");

const given = process.argv.slice(2);
const printing = given.includes("--uncovered");

/**
 * Compiles the addon by one object file for each source, because gcov needs a file of notes beside each object file.
 */
function compileAddon() {
  mkdirSync(objects, { recursive: true });
  const flags = ["-g", "-O0", "--coverage", "-fprofile-update=atomic"];
  const parts = sources.map((source) => {
    const object = join(objects, `${basename(source, ".c")}.o`);
    // compileShared() passes `-shared`, which the compiler ignores together with `-c`.
    compileShared(object, [source], [...flags, "-c"]);
    return object;
  });
  compileShared(addon, parts, ["--coverage"]);
}

/** Lines of native/ by file, each with whether it was run. */
function nativeLines() {
  const files = new Map();
  const gcov = process.env.GCOV ?? "gcov";
  const data = readdirSync(objects).filter((name) => name.endsWith(".gcda"));
  if (data.length === 0) fail(`coverage: ${compiler} has left no counts in ${relative(root, objects)}`);
  const said = run(gcov, ["--json-format", "--stdout", ...data], { cwd: objects });
  for (const text of said.split("\n").filter((line) => line.trim() !== "")) {
    for (const { file, lines } of JSON.parse(text).files) {
      const path = relative(root, file);
      if (!path.startsWith("native/")) continue;
      const known = files.get(path) ?? new Map();
      files.set(path, known);
      for (const { line_number: line, count } of lines) known.set(line, (known.get(line) ?? false) || count > 0);
    }
  }
  return files;
}

/** Lines of src/ by file, each with whether it was run. */
function sourceLines(c8) {
  const folder = join(output, "report");
  const words = ["report", "--temp-directory", counts, "--reporter", "lcovonly", "--reports-dir", folder];
  const scope = ["--include", "src/**", "--exclude-after-remap", "--exclude", "test/**", "--merge-async"];
  run(process.execPath, ["--max-old-space-size=6000", c8, ...words, ...scope], { cwd: root });
  const files = new Map();
  let lines;
  for (const line of readFileSync(join(folder, "lcov.info"), "utf8").split("\n")) {
    const file = /^SF:(.*)/.exec(line)?.[1];
    if (file !== undefined) files.set(relative(root, join(root, file)), (lines = new Map()));
    const [, number, count] = /^DA:(\d+),(\d+)/.exec(line) ?? [];
    if (number !== undefined) lines.set(Number(number), Number(count) > 0);
  }
  return files;
}

function print(what, files) {
  const all = [...files.values()].flatMap((lines) => [...lines.values()]);
  const ran = all.filter(Boolean).length;
  const percent = all.length === 0 ? 0 : Math.floor((1000 * ran) / all.length) / 10;
  process.stdout.write(
    `coverage: ${what} ${percent.toFixed(1)} % (${ran} of ${all.length} lines, ${files.size} files)\n`,
  );
  if (!printing) return;
  for (const [file, lines] of [...files].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    const missed = [...lines].filter(([, yes]) => !yes).map(([line]) => line);
    if (missed.length > 0) process.stdout.write(`  ${file}: ${missed.toSorted((a, b) => a - b).join(" ")}\n`);
  }
}

rmSync(output, { force: true, recursive: true });
const c8 = join(installTools("coverage"), "c8", "bin", "c8.js");
compileAddon();
const status = await test(
  given.filter((word) => word !== "--uncovered"),
  { BERKELEY_ADDON: addon, NODE_V8_COVERAGE: counts },
);
print("src", sourceLines(c8));
print("native", nativeLines());
if (status !== 0) process.stdout.write("coverage: some tests failed\n");
process.exit(status);
