// Loading the addon: the only place that touches the .node file.

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

import { AddonError } from "../errors.js";
import type { Calls } from "./calls.js";
import { BY_ENVIRONMENT, type Candidate, candidates, examine, findPackage } from "./loading/candidates.js";
import { type Fault, currentLibc, unsupported } from "./loading/host.js";

/** What the addon exports: the calls, and the platform's numbers by name. */
export interface Addon extends Calls {
  readonly constants: Readonly<Record<string, number>>;
  readonly errnos: Readonly<Record<string, number>>;
}

/** The version of this JavaScript; package.json has the same one. An addon of another version is refused. */
export const VERSION = "0.1.0";

// In a bundle of CommonJS there is no import.meta.url.
declare const __filename: string | undefined;
function ownUrl(): string {
  const url = import.meta.url as string | undefined;
  if (url !== undefined) return url;
  return pathToFileURL(typeof __filename === "string" ? __filename : process.execPath).href;
}

const quote = (path: string): string => (/^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`);

/** What to do about it. */
function advice({ reason, text }: Fault, { origin }: Candidate, root: string | undefined): string {
  const build =
    root === undefined
      ? "cd node_modules/berkeley && LINK=cc npx --yes node-gyp rebuild"
      : `cd ${quote(root)} && LINK=cc npx --yes node-gyp rebuild`;
  const builds = `${build} (takes python3, make and a C compiler)`;
  const elsewhere = `move the package to a file system that is mounted without noexec`;
  if (reason === "refused" && /failed to map segment|not permitted|Permission denied/i.test(text)) return elsewhere;
  if (origin === "environment") return `set ${BY_ENVIRONMENT} to the addon of berkeley ${VERSION}, or unset it`;
  if (origin === "local") return `build it again: ${builds}; or remove it, to use what is shipped`;
  if (reason === "missing") return `build it: ${builds}`;
  return `install berkeley again, or build the addon: ${builds}`;
}

function fail(reason: Fault["reason"], what: string, more: readonly string[], tried: readonly string[]): never {
  const { arch, platform, version } = process;
  const head = `Cannot load the addon of berkeley ${VERSION} on ${platform}-${arch} with Node.js ${version}`;
  throw new AddonError([`${head}: ${what}`, ...more.map((line) => `  ${line}`)].join("\n"), reason, tried);
}

function refuse(host: Fault): never {
  const more =
    host.reason === "platform" ? ["berkeley makes the system calls of Linux; its types may be used anywhere"] : [];
  fail(host.reason, host.text, more, []);
}

/** Loads the first file that there is. A file that is there and can't be used is an error, not a reason to go on. */
function load(): Addon {
  // What can't work is refused before a file is touched.
  const host = unsupported(process);
  if (host !== undefined) refuse(host);

  const url = ownUrl();
  const named = process.env[BY_ENVIRONMENT] || undefined;
  const root = named === undefined ? findPackage(url) : undefined;
  const libc = currentLibc();
  const list = candidates(named, root, process.arch, libc);
  const missing: string[] = [];
  for (const candidate of list) {
    const { path } = candidate;
    let fault = examine(candidate, process.arch, VERSION);
    if (fault?.reason === "missing" && candidate.origin !== "environment") {
      missing.push(path);
      continue;
    }
    if (fault === undefined) {
      try {
        return createRequire(url)(path) as Addon;
      } catch (error) {
        fault = { reason: "refused", text: `it cannot be loaded: ${(error as Error).message.trim()}` };
      }
    }
    const tried = [...missing, path];
    fail(
      fault.reason,
      `${path}: ${fault.text}`,
      [...missing.map((one) => `tried ${one}: no such file`), `to do: ${advice(fault, candidate, root)}`],
      tried,
    );
  }
  if (list.length === 0) {
    const words = [
      `to do: install berkeley beside this file, or set ${BY_ENVIRONMENT} to the path of berkeley's .node file`,
    ];
    fail("missing", `the package's folder is not above ${url}, and berkeley is not installed for it`, words, []);
  }
  const last = list.at(-1)!;
  fail(
    "missing",
    `no file of it is there for linux-${process.arch}-${libc ?? "glibc"}`,
    [
      ...missing.map((one) => `tried ${one}: no such file`),
      `to do: ${advice({ reason: "missing", text: "" }, last, root)}`,
    ],
    missing,
  );
}

export const addon: Addon = load();
