// Lists the files that may be the addon, and examines a file before it is loaded.

import { createRequire } from "node:module";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { fs } from "../../builtins.js";
import { parseElf, parseMark } from "./elf.js";
import type { Fault, Libc } from "./host.js";

/** A file that may be the addon. */
export interface Candidate {
  readonly path: string;
  /** `environment`: BERKELEY_ADDON names the file. `local`: built on this machine. `prebuilt`: part of the package. */
  readonly origin: "environment" | "local" | "prebuilt";
  /** The C library that the file must be built for; undefined when that of the process is unknown. */
  readonly libc: Libc | undefined;
}

/** The environment variable that names the addon. */
export const ADDON_VARIABLE = "BERKELEY_ADDON";

/** A package that has an addon, or can build one, has at least one of these files or folders. */
const PACKAGE_FILES = ["prebuilds", "binding.gyp", join("build", "Release")];

function isPackageFolder(folder: string): boolean {
  const manifest = join(folder, "package.json");
  // A folder of compiled files may have a package.json with our name, but no addon.
  if (!fs().existsSync(manifest) || !PACKAGE_FILES.some((name) => fs().existsSync(join(folder, name)))) return false;
  try {
    return (JSON.parse(fs().readFileSync(manifest, "utf8")) as { name?: unknown }).name === "berkeley";
  } catch {
    return false;
  }
}

/**
 * The folder of the package: the nearest folder above `url` that has a package.json with our name, and an addon or its
 * sources. If a bundler has moved this code into another package, the result is the folder that `require("berkeley")`
 * finds. Undefined if there is no such folder.
 */
export function findPackage(url: string): string | undefined {
  const file = fileURLToPath(url);
  for (let folder = dirname(file); ; folder = dirname(folder)) {
    if (isPackageFolder(folder)) return folder;
    if (folder === dirname(folder)) break;
  }
  try {
    return dirname(createRequire(url).resolve("berkeley/package.json"));
  } catch {
    return undefined;
  }
}

/**
 * The candidates in the order in which they are tried. If BERKELEY_ADDON names a file, it is the only candidate.
 * Otherwise a local build comes before the prebuilt file, because a local build was made on purpose.
 *
 * @param namedPath the file that BERKELEY_ADDON names
 * @param root the folder of the package
 */
export function addonCandidates(
  namedPath: string | undefined,
  root: string | undefined,
  arch: string,
  libc: Libc | undefined,
): readonly Candidate[] {
  if (namedPath !== undefined) {
    return [{ path: isAbsolute(namedPath) ? namedPath : resolve(namedPath), origin: "environment", libc }];
  }
  if (root === undefined) return [];
  return [
    { path: join(root, "build", "Release", "berkeley.node"), origin: "local", libc },
    { path: join(root, "prebuilds", `linux-${arch}-${libc ?? "glibc"}.node`), origin: "prebuilt", libc },
  ];
}

/** Maximum number of bytes that are read from a file. Even an addon that is built for a sanitizer is far smaller. */
const MAX_READ = 32 << 20;

/** Reads at most {@link MAX_READ} bytes of a file. `size` is the size of the whole file. */
function readCandidate(path: string): { readonly content: Buffer; readonly size: number } | Fault {
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
    const content = Buffer.allocUnsafe(Math.min(status.size, MAX_READ));
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

/** Returns why this file must not be passed to dlopen(3), or undefined if it may be. */
export function candidateFault({ path, libc }: Candidate, arch: string, version: string): Fault | undefined {
  // Node loads a file as an addon only if its name ends in .node, and as JavaScript otherwise.
  if (!path.endsWith(".node"))
    return { reason: "foreign", text: "its name does not end with .node, required a .node file" };
  const file = readCandidate(path);
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
