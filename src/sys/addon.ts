// Loading the addon: the only place that touches the .node file.

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

import { AddonError } from "../errors/index.js";
import type { Calls } from "./calls.js";
import { BY_ENVIRONMENT, type Candidate, candidates, examine, findPackage } from "./loading/candidates.js";
import { type Fault, currentLibc, unsupported } from "./loading/host.js";
// Refuses a runtime in which the addon may abort.
// oxlint-disable-next-line import/no-unassigned-import -- nothing of it is used but the check that it makes
import { runtime } from "./runtime.js";

/** What the addon exports: the calls, and the platform's numbers by name. */
export interface Addon extends Calls {
  readonly constants: Readonly<Record<string, number>>;
  readonly errnos: Readonly<Record<string, number>>;
}

/** The version of this JavaScript; package.json has the same one. An addon of another version is refused. */
export const VERSION = "0.1.0";

// A bundle of CommonJS has no import.meta.url, and this instead.
// oxlint-disable-next-line no-underscore-dangle -- Node's name
declare const __filename: string | undefined;
function ownUrl(): string {
  const url = import.meta.url as string | undefined;
  if (url !== undefined) return url;
  return pathToFileURL(typeof __filename === "string" ? __filename : process.execPath).href;
}

const quote = (path: string): string => (/^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`);

/** What to do about a file that is missing or can't be used. */
function advice({ reason, text }: Fault, { origin }: Candidate, root: string | undefined): string {
  const folder = quote(root ?? "node_modules/berkeley");
  const build = `cd ${folder} && LINK=cc npx --yes node-gyp rebuild (takes python3, make and a C compiler)`;
  if (reason === "refused" && /failed to map segment|not permitted|permission denied/i.test(text)) {
    return "move the package to a file system that is mounted without noexec";
  }
  if (origin === "environment") return `set ${BY_ENVIRONMENT} to the addon of berkeley ${VERSION}, or unset it`;
  if (origin === "local") return `build it again: ${build}; or remove it, to use what is shipped`;
  return `${reason === "missing" ? "build it" : "install berkeley again, or build the addon"}: ${build}`;
}

function failure({ reason, text }: Fault, more: readonly string[] = [], tried: readonly string[] = []): AddonError {
  const { arch, platform } = process;
  const head = `Cannot load the addon of berkeley ${VERSION} on ${platform}-${arch} with ${runtime.name} ${runtime.version}`;
  return new AddonError([`${head}: ${text}`, ...more].join("\n  "), reason, tried);
}

function loadFile(url: string, path: string): Addon | Fault {
  try {
    return createRequire(url)(path) as Addon;
  } catch (error) {
    // Its stack and its cause are of Node's loader, and say nothing more.
    return { reason: "refused", text: `it cannot be loaded: ${(error as Error).message.trim()}` };
  }
}

/** Loads the first file that there is. A file that is there and can't be used is an error, and not passed over. */
function load(): Addon {
  // What can't work is refused before a file is touched.
  const host = unsupported(process);
  if (host !== undefined) {
    const types = "berkeley makes the system calls of Linux; its types may be used anywhere";
    throw failure(host, host.reason === "platform" ? [types] : []);
  }

  const url = ownUrl();
  const named = process.env[BY_ENVIRONMENT] || undefined;
  const root = named === undefined ? findPackage(url) : undefined;
  const libc = currentLibc();
  const list = candidates(named, root, process.arch, libc);
  let found = list.at(-1);
  if (found === undefined) {
    const text = `the package's folder is not above ${url}, and berkeley is not installed for it`;
    const todo = `to do: install berkeley beside this file, or set ${BY_ENVIRONMENT} to the path of berkeley's .node file`;
    throw failure({ reason: "missing", text }, [todo]);
  }

  const tried: string[] = [];
  const notes: string[] = [];
  let fault: Fault = { reason: "missing", text: `no file of it is there for linux-${process.arch}-${libc ?? "glibc"}` };
  for (const candidate of list) {
    const { origin, path } = candidate;
    tried.push(path);
    const outcome = examine(candidate, process.arch, VERSION) ?? loadFile(url, path);
    if (!("reason" in outcome)) return outcome;
    if (outcome.reason === "missing" && origin !== "environment") {
      notes.push(`tried ${path}: ${outcome.text}`);
      continue;
    }
    found = candidate;
    fault = { reason: outcome.reason, text: `${path}: ${outcome.text}` };
    break;
  }
  throw failure(fault, [...notes, `to do: ${advice(fault, found, root)}`], tried);
}

export const addon: Addon = load();
