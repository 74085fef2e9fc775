// Which files may be the addon, and whether one of them is.

import { createRequire } from "node:module";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { fs } from "../../builtins.js";
import { parseElf, parseMark } from "./elf.js";
import type { Fault, Libc } from "./host.js";

/** A file that may be the addon. */
export interface Candidate {
  readonly path: string;
  /** Named by BERKELEY_ADDON, built on this machine, or shipped in the package. */
  readonly origin: "environment" | "local" | "prebuilt";
  /** The C library that the file must be built for; undefined when that of the process is unknown. */
  readonly libc: Libc | undefined;
}

export const BY_ENVIRONMENT = "BERKELEY_ADDON";

/** What lies beside the package.json of a package that has an addon or can build one. */
const MARKS = ["prebuilds", "binding.gyp", join("build", "Release")];

function isOurs(folder: string): boolean {
  const manifest = join(folder, "package.json");
  // Compiled files may have a package.json of their own, with our name and nothing to load beside it.
  if (!fs().existsSync(manifest) || !MARKS.some((name) => fs().existsSync(join(folder, name)))) return false;
  try {
    return (JSON.parse(fs().readFileSync(manifest, "utf8")) as { name?: unknown }).name === "berkeley";
  } catch {
    return false;
  }
}

/**
 * The package's folder: the nearest one above this file whose package.json has our name, with an addon or its sources. A bundler may have moved this code
 * into another package; then the folder is where `require("berkeley")` would look from there.
 */
export function findPackage(url: string): string | undefined {
  const file = fileURLToPath(url);
  for (let folder = dirname(file); ; folder = dirname(folder)) {
    if (isOurs(folder)) return folder;
    if (folder === dirname(folder)) break;
  }
  try {
    return dirname(createRequire(url).resolve("berkeley/package.json"));
  } catch {
    return undefined;
  }
}

/**
 * The files in the order in which they are looked for. Without a word of the environment, a local build goes before what is
 * shipped: somebody has built it on purpose.
 */
export function candidates(
  named: string | undefined,
  root: string | undefined,
  arch: string,
  libc: Libc | undefined,
): readonly Candidate[] {
  if (named !== undefined) {
    return [{ path: isAbsolute(named) ? named : resolve(named), origin: "environment", libc }];
  }
  if (root === undefined) return [];
  return [
    { path: join(root, "build", "Release", "berkeley.node"), origin: "local", libc },
    { path: join(root, "prebuilds", `linux-${arch}-${libc ?? "glibc"}.node`), origin: "prebuilt", libc },
  ];
}

/** An addon of ours with everything that a sanitizer adds is smaller by far. */
const LARGEST = 32 << 20;

/** The content, at most {@link LARGEST} bytes of it, and the size of the file. */
function read(path: string): { readonly content: Buffer; readonly size: number } | Fault {
  let fd: number;
  try {
    fd = fs().openSync(path, "r");
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    const missing = code === "ENOENT" || code === "ENOTDIR";
    return missing
      ? { reason: "missing", text: "no such file" }
      : { reason: "unreadable", text: `it cannot be opened (${code}), required a file that may be read` };
  }
  try {
    const status = fs().fstatSync(fd);
    if (!status.isFile()) return { reason: "foreign", text: "it is not a regular file, required an ELF file" };
    const content = Buffer.allocUnsafe(Math.min(status.size, LARGEST));
    let length = 0;
    while (length < content.length) {
      const count = fs().readSync(fd, content, length, content.length - length, length);
      if (count === 0) break;
      length += count;
    }
    return { content: content.subarray(0, length), size: status.size };
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    return { reason: "unreadable", text: `it cannot be read (${code}), required a file that may be read` };
  } finally {
    fs().closeSync(fd);
  }
}

/** Why this file may not be given to dlopen(3), or undefined. */
export function examine({ path, libc }: Candidate, arch: string, version: string): Fault | undefined {
  // Node takes a file for an addon by its name, and for JavaScript otherwise.
  if (!path.endsWith(".node"))
    return { reason: "foreign", text: "its name is not that of an addon, required one that ends with .node" };
  const file = read(path);
  if ("reason" in file) return file;
  const { content, size } = file;
  if (size === 0) return { reason: "truncated", text: "it is empty, required an ELF file" };
  const elf = parseElf(content);
  if (elf === undefined) {
    const begin = JSON.stringify(content.toString("latin1", 0, 8));
    return { reason: "foreign", text: `it begins with ${begin}, required an ELF file` };
  }
  if (elf.end === Infinity) {
    return {
      reason: "truncated",
      text: `it is cut off after ${size} bytes, inside its headers, required a whole file`,
    };
  }
  if (elf.arch !== arch) {
    return { reason: "architecture", text: `it is built for ${elf.arch}, required ${arch}` };
  }
  if (elf.end > size) {
    return { reason: "truncated", text: `it is cut off after ${size} of ${elf.end} bytes, required a whole file` };
  }
  if (!elf.sharedObject) {
    return { reason: "foreign", text: "it is an ELF program, required a shared object" };
  }
  const mark = parseMark(content);
  if (mark === undefined) {
    return { reason: "foreign", text: "it is not an addon of berkeley, required one" };
  }
  if (mark.version !== version) {
    return { reason: "version", text: `it is built for berkeley ${mark.version}, required ${version}` };
  }
  if (libc !== undefined && mark.libc !== libc) {
    return { reason: "libc", text: `it is built for ${mark.libc}, required ${libc}` };
  }
  return undefined;
}
