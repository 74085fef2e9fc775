// Loads the addon. No other file loads a .node file.

import { createRequire, type Module } from "node:module";
import { pathToFileURL } from "node:url";

import { fs, nodeModule } from "../builtins.js";
import { AddonError } from "../errors/index.js";
import type { Calls } from "./calls.js";
import { ADDON_VARIABLE, type Candidate, addonCandidates, candidateFault, findPackage } from "./loading/candidates.js";
import { type Fault, currentLibc, platformFault } from "./loading/host.js";
// The import of runtime.js throws in a runtime in which the addon could abort the process.
import { runtime } from "./runtime.js";

/** The exports of the addon: the calls, and the numbers of the platform by their names. */
export interface Addon extends Calls {
  readonly constants: Readonly<Record<string, number>>;
  readonly errnos: Readonly<Record<string, number>>;
}

/** The version in package.json. An addon of another version is refused. */
export const VERSION = "0.1.0";

// oxlint-disable-next-line no-underscore-dangle -- Node's name
declare const __filename: string | undefined;

/**
 * The URL of this file. A CommonJS bundle has `__filename` in place of `import.meta.url`. If a bundle has neither, the
 * search for the package begins at the executable.
 */
function ownUrl(): string {
  const url = import.meta.url as string | undefined;
  if (url !== undefined) return url;
  return pathToFileURL(typeof __filename === "string" ? __filename : process.execPath).href;
}

/** Quotes a path as an argument of a shell command, if necessary. */
const shellQuote = (path: string): string =>
  /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;

/** The last part of an error message: how the user can repair a missing or unusable file. */
function repairText({ reason, text }: Fault, { origin }: Candidate, root: string | undefined): string {
  const folder = shellQuote(root ?? "node_modules/berkeley");
  // By default node-gyp links with a C++ compiler, which this addon does not need.
  const build = `cd ${folder} && LINK=cc npx --yes node-gyp rebuild (requires python3, make and a C compiler)`;
  if (reason === "refused" && /failed to map segment|not permitted|permission denied/i.test(text)) {
    return "move the package to a file system that is mounted without noexec";
  }
  if (origin === "environment") return `set ${ADDON_VARIABLE} to the addon of berkeley ${VERSION}, or unset it`;
  if (origin === "local") return `build it again: ${build}; or remove it to use the shipped file`;
  return `${reason === "missing" ? "build it" : "install berkeley again, or build the addon"}: ${build}`;
}

/**
 * @param lines further lines of the message
 * @param tried the paths that were tried
 */
function addonError({ reason, text }: Fault, lines: readonly string[] = [], tried: readonly string[] = []): AddonError {
  const { arch, platform } = process;
  const head = `Cannot load the addon of berkeley ${VERSION} on ${platform}-${arch} with ${runtime.name} ${runtime.version}`;
  return new AddonError([`${head}: ${text}`, ...lines].join("\n  "), reason, tried);
}

/** The parts of Node's class Module that are used here. */
interface ModuleClass {
  new (path: string): Module & { exports: unknown };
  /** The object `require.cache`: the modules by their files. All evaluations of this package in a thread share it. */
  readonly _cache?: Record<string, { readonly exports: unknown } | undefined>;
}

/**
 * The same as `require(path)`, but without its search for the file, which takes as long as the loading. Like `require`,
 * it returns exports that are in the cache, because all evaluations of the package must share one addon.
 */
function requireAddon(url: string, path: string): unknown {
  const Modules = nodeModule() as ModuleClass | undefined;
  // oxlint-disable-next-line no-underscore-dangle -- Node's name
  const cache = Modules?._cache;
  // In another runtime, or without these undocumented parts of Node.js, use require() itself.
  if (runtime.name !== "Node.js" || Modules === undefined || cache === undefined) return createRequire(url)(path);
  const file = fs().realpathSync.native(path);
  const cached = cache[file];
  if (cached !== undefined) return cached.exports;
  const module = new Modules(file);
  process.dlopen(module, file);
  module.filename = file;
  module.loaded = true;
  cache[file] = module;
  return module.exports;
}

function loadFile(url: string, path: string): Addon | Fault {
  try {
    return requireAddon(url, path) as Addon;
  } catch (error) {
    // The stack and the cause of this error only describe Node's loader.
    return { reason: "refused", text: `it cannot be loaded: ${(error as Error).message.trim()}` };
  }
}

/**
 * Loads the first candidate that exists. If that file can't be used, throws, and tries no later candidate.
 *
 * @throws AddonError
 */
function load(): Addon {
  const hostFault = platformFault(process);
  if (hostFault !== undefined) {
    const note = "berkeley makes the system calls of Linux; its types may be used anywhere";
    throw addonError(hostFault, hostFault.reason === "platform" ? [note] : []);
  }

  const url = ownUrl();
  // An empty variable counts as one that is not set.
  const namedPath = process.env[ADDON_VARIABLE] || undefined;
  const root = namedPath === undefined ? findPackage(url) : undefined;
  const libc = currentLibc();
  const candidates = addonCandidates(namedPath, root, process.arch, libc);
  // The error says how to repair this candidate: the first one that exists, or the last one if none exists.
  let unusable = candidates.at(-1);
  if (unusable === undefined) {
    const text = `no folder above ${url} is the package, and berkeley is not installed there`;
    const otherRepair = `set ${ADDON_VARIABLE} to the path of berkeley's .node file`;
    throw addonError({ reason: "missing", text }, [`to do: install berkeley beside this file, or ${otherRepair}`]);
  }

  const tried: string[] = [];
  const notes: string[] = [];
  const target = `linux-${process.arch}-${libc ?? "glibc"}`;
  let fault: Fault = { reason: "missing", text: `the package has no file for ${target}` };
  for (const candidate of candidates) {
    const { origin, path } = candidate;
    tried.push(path);
    const result = candidateFault(candidate, process.arch, VERSION) ?? loadFile(url, path);
    const isAddon = !("reason" in result);
    if (isAddon) return result;
    // If BERKELEY_ADDON names a missing file, that is an error. A missing file of the package is only a note.
    if (result.reason === "missing" && origin !== "environment") {
      notes.push(`tried ${path}: ${result.text}`);
      continue;
    }
    unusable = candidate;
    fault = { reason: result.reason, text: `${path}: ${result.text}` };
    break;
  }
  throw addonError(fault, [...notes, `to do: ${repairText(fault, unusable, root)}`], tried);
}

export const addon: Addon = load();
