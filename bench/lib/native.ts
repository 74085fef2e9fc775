// Compiles the C programs of bench/native when they are first used. The name of a compiled program contains the hash of
// its sources and flags, so a program is compiled again only after a change.

import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { access, mkdir, readFile, readdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

import { nativeSources, outputs } from "./paths.js";

const run = promisify(execFile);
const flags: readonly string[] = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE"];
/** The libraries of programs that use more than the C library. */
const libraries: Readonly<Record<string, readonly string[]>> = { tls_load: ["-lssl", "-lcrypto"] };
const programs = new Map<string, Promise<string>>();

/** Compiles `bench/native/<name>.c` if necessary. Resolves with the path of the program. */
export function nativeProgram(name: string): Promise<string> {
  let program = programs.get(name);
  if (program === undefined) programs.set(name, (program = compile(name)));
  return program;
}

async function compile(name: string): Promise<string> {
  const source = join(nativeSources, `${name}.c`);
  const hash = createHash("sha256").update([...flags, ...(libraries[name] ?? [])].join(" "));
  const headers = (await readdir(nativeSources)).filter((file) => file.endsWith(".h")).toSorted();
  for (const file of [...headers.map((header) => join(nativeSources, header)), source])
    hash.update(await readFile(file));
  const program = join(outputs, `${name}-${hash.digest("hex").slice(0, 16)}`);
  if (await exists(program)) return program;
  await mkdir(outputs, { recursive: true });
  const unfinished = `${program}.${process.pid}`;
  try {
    await run("cc", [...flags, "-o", unfinished, source, ...(libraries[name] ?? [])]);
  } catch (error) {
    throw new Error(`compile ${source}: ${(error as Error).message}`, { cause: error });
  }
  await rename(unfinished, program);
  return program;
}

/** A file of `bytes` bytes with the pattern of bench/native/pattern.c. It is made once. */
export async function patternFile(bytes: number): Promise<string> {
  const program = await nativeProgram("pattern");
  const file = `${program}-${bytes}.bin`;
  if (!(await exists(file))) {
    await run(program, [`${file}.${process.pid}`, String(bytes)]);
    await rename(`${file}.${process.pid}`, file);
  }
  return file;
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
