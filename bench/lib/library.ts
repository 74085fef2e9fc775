// Makes a folder with any version of our library and with the scripts of this tree. Node resolves "berkeley" there as
// in a project of a user: by the `exports` in the package.json of that version.

import { execFile } from "node:child_process";
import { rmSync } from "node:fs";
import { cp, mkdir, mkdtemp, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

import { errorLineIn } from "./children.js";
import { UsageError } from "./options.js";
import { compiledBench, compiledExamples, outputs } from "./paths.js";

const run = promisify(execFile);
const name = "berkeley";

/** A library, and the folder whose scripts import it. */
export interface Library {
  /** The .tgz file, or the folder of the package. */
  readonly path: string;
  readonly version: string;
  /** The folder with the compiled bench/, whose scripts import this library. */
  readonly bench: string;
}

interface Manifest {
  readonly name?: string;
  readonly version?: string;
  readonly exports?: Readonly<Record<string, string | { readonly default?: string }>>;
}

async function manifestIn(folder: string): Promise<Manifest | undefined> {
  try {
    return JSON.parse(await readFile(join(folder, "package.json"), "utf8")) as Manifest;
  } catch {
    return undefined;
  }
}

/** When a file was written; undefined if it does not exist. */
async function writtenAt(file: string): Promise<number | undefined> {
  return stat(file).then(
    ({ mtimeMs }) => mtimeMs,
    () => undefined,
  );
}

/** The main file of a package, as its manifest names it. */
function entryOf(folder: string, manifest: Manifest): string {
  const target = manifest.exports?.["."];
  return join(folder, (typeof target === "string" ? target : target?.default) ?? "index.js");
}

/**
 * The folder of the package in a checkout: out/ if it has compiled files that are newer than the bundle in dist/, or if
 * there is no bundle; otherwise the checkout itself.
 */
async function packageIn(folder: string): Promise<string> {
  const manifest = await manifestIn(folder);
  if (manifest?.name !== name) {
    const found = manifest === undefined ? "has no package.json" : `is the package ${JSON.stringify(manifest.name)}`;
    throw new UsageError(
      `Cannot measure a library: ${folder} ${found}, required a folder of ${name} or a .tgz file of it`,
    );
  }
  const entry = entryOf(folder, manifest);
  const bundled = await writtenAt(entry);
  const development = join(folder, "out");
  const compiled = await writtenAt(join(development, ".setup"));
  const hasDevelopment = (await manifestIn(development))?.name === name;
  if (hasDevelopment && (bundled === undefined || bundled < (compiled ?? 0))) return development;
  if (bundled !== undefined) return folder;
  throw new UsageError(
    `Cannot measure a library: ${entry} is missing, required a clone that is set up (npm run setup)`,
  );
}

/** Makes a folder with the scripts of this tree and the library at `given`, and loads the library once with `node`. */
export async function openLibrary(given: string, node: string): Promise<Library> {
  const path = resolve(given);
  const kind = await stat(path).catch(() => undefined);
  if (kind === undefined) {
    throw new UsageError(`Cannot measure a library: ${path} is missing, required a .tgz file or a folder of ${name}`);
  }
  const found = kind.isDirectory() ? await packageIn(path) : path;
  const folder = await mkdtemp(join(tmpdir(), "berkeley-library-"));
  process.on("exit", () => rmSync(folder, { force: true, recursive: true }));
  const installed = join(folder, "node_modules", name);
  await mkdir(join(folder, "node_modules"));
  if (kind.isDirectory()) await symlink(found, installed);
  else await unpack(path, installed);
  await writeFile(join(folder, "package.json"), '{ "private": true, "type": "module" }\n');
  const made = resolve(outputs);
  await cp(compiledBench, join(folder, "bench"), { recursive: true, filter: (file) => resolve(file) !== made });
  await cp(compiledExamples, join(folder, "examples"), { recursive: true });
  try {
    await run(node, ["--input-type=module", "--eval", `import ${JSON.stringify(name)};`], { cwd: folder });
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string };
    throw new Error(`Cannot load ${found}: ${errorLineIn(stderr ?? "") ?? message}`, { cause: error });
  }
  return { path: found, version: (await manifestIn(installed))?.version ?? "?", bench: join(folder, "bench") };
}

/** Unpacks a tarball of `npm pack` into the folder `installed`. */
async function unpack(file: string, installed: string): Promise<void> {
  await mkdir(installed);
  try {
    await run("tar", ["-xzf", file, "-C", installed, "--strip-components=1"]);
  } catch (error) {
    const [firstLine] = ((error as { stderr?: string }).stderr ?? (error as Error).message).trim().split("\n", 1);
    throw new UsageError(`Cannot unpack ${file}: ${firstLine}`);
  }
  const manifest = await manifestIn(installed);
  if (manifest?.name !== name) {
    const what = manifest === undefined ? "has no package.json" : `is the package ${JSON.stringify(manifest.name)}`;
    throw new UsageError(`Cannot measure a library: ${file} ${what}, required a .tgz file of ${name}`);
  }
}
