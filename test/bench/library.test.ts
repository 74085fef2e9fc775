// The package that a path selects, and that the scripts beside it import that package.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { promisify } from "node:util";

import { type Library, openLibrary } from "../../bench/lib/library.js";
import { UsageError } from "../../bench/lib/options.js";

const run = promisify(execFile);

/** A folder with these files; an object is written as JSON. */
async function folderOf(t: TestContext, files: Readonly<Record<string, string | object>>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "berkeley-test-"));
  t.after(() => rm(folder, { force: true, recursive: true }));
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), typeof content === "string" ? content : JSON.stringify(content));
  }
  return folder;
}

const manifest = (entry: string): object => ({
  name: "berkeley",
  version: "1.2.3",
  type: "module",
  exports: { ".": { types: "./x.d.ts", default: entry } },
});

/** What a script in the folder of a library gets from it. */
async function importedBy({ bench }: Library): Promise<string> {
  const script = join(bench, "what.js");
  await writeFile(script, 'import { what } from "berkeley"; console.log(what);');
  return (await run(process.execPath, [script])).stdout.trim();
}

const open = (path: string): Promise<Library> => openLibrary(path, process.execPath);

test("openLibrary() takes a clone with one file per file in dist/", async (t) => {
  const clone = await folderOf(t, {
    "package.json": manifest("./dist/index.js"),
    "dist/index.js": "export const what = 'dist';",
  });
  const library = await open(clone);
  assert.deepEqual([library.path, library.version], [clone, "1.2.3"]);
  assert.equal(await importedBy(library), "dist");
  const names = await readdir(library.bench);
  assert.ok(names.includes("servers") && names.includes("imports") && !names.includes("made"));
});

test("openLibrary() takes the development files of a clone, unless its bundle is newer", async (t) => {
  const clone = await folderOf(t, {
    "package.json": manifest("./dist/index.js"),
    "out/package.json": manifest("./lib/index.js"),
    "out/.setup": "",
    "out/lib/index.js": "export const what = 'development';",
  });
  const without = await open(clone);
  assert.equal(without.path, join(clone, "out"));
  assert.equal(await importedBy(without), "development");
  await mkdir(join(clone, "dist"));
  await writeFile(join(clone, "dist", "index.js"), "export const what = 'bundle';");
  await utimes(join(clone, "out", ".setup"), 2_000_000_000, 2_000_000_000);
  assert.equal(await importedBy(await open(clone)), "development");
  await utimes(join(clone, "out", ".setup"), 1_000_000_000, 1_000_000_000);
  assert.equal(await importedBy(await open(clone)), "bundle");
  assert.equal(await importedBy(await open(join(clone, "out"))), "development");
});

test("openLibrary() unpacks a tarball", async (t) => {
  const folder = await folderOf(t, {
    "package/package.json": manifest("./dist/index.js"),
    "package/dist/index.js": "export const what = 'tarball';",
  });
  const file = join(folder, "berkeley-1.2.3.tgz");
  await run("tar", ["-czf", file, "-C", folder, "package"]);
  const library = await open(file);
  assert.deepEqual([library.path, library.version, await importedBy(library)], [file, "1.2.3", "tarball"]);
});

test("openLibrary() explains a wrong path in one line", async (t) => {
  const folder = await folderOf(t, {
    "no/readme": "",
    "other/package.json": { name: "express" },
    "fresh/package.json": manifest("./dist/index.js"),
    "text.tgz": "no archive",
  });
  for (const [name, message] of [
    ["missing", /missing is missing, required a \.tgz file or a folder of berkeley$/],
    ["no", /no has no package\.json, required a folder of berkeley or a \.tgz file of it$/],
    ["other", /other is the package "express", required/],
    ["fresh", /dist\/index\.js is missing, required a clone that is set up \(npm run setup\)$/],
    ["text.tgz", /^Cannot unpack .*text\.tgz: \S.*$/],
  ] as const) {
    await assert.rejects(
      open(join(folder, name)),
      (error) => error instanceof UsageError && message.test(error.message) && !error.message.includes("\n"),
      name,
    );
  }
});

test("openLibrary() says in one line why a library can't be loaded", async (t) => {
  const clone = await folderOf(t, {
    "package.json": manifest("./dist/index.js"),
    "dist/index.js": 'throw new TypeError("no addon\\nin sight");',
  });
  await assert.rejects(open(clone), { message: `Cannot load ${clone}: TypeError: no addon` });
});
