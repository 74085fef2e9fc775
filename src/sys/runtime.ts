// Detects the runtime and chooses its poller. This file must run before the addon calls libuv: in Bun some functions of
// libuv abort the process, and in Deno some functions of libuv are missing.

import { quote } from "../check/index.js";
import { AddonError } from "../errors/index.js";

/** How the package waits for its epoll descriptor: with a handle of libuv on the event loop, or with a thread. */
export type Poller = "uv" | "thread";

export interface Runtime {
  readonly name: "Node.js" | "Bun" | "Deno";
  readonly version: string;
  /** Whether the functions of libuv may be called. */
  readonly libuv: boolean;
  readonly poller: Poller;
}

/** The environment variable that chooses the poller. */
export const POLLER_VARIABLE = "BERKELEY_POLLER";

const OLDEST_NODE = 20;
const REQUIRED = `required Node.js ${OLDEST_NODE} or later, Bun or Deno`;

/** The members of `process` that identify the runtime. */
export interface ProcessLike {
  readonly versions?: Readonly<Record<string, string | undefined>> | undefined;
}

/** Unsupported runtimes that set `process.versions.node`, and the member of `process.versions` that identifies each. */
const UNSUPPORTED: readonly (readonly [component: string, name: string])[] = [
  ["electron", "Electron"],
  ["nw", "NW.js"],
  ["graalvm", "GraalVM"],
  ["webcontainer", "WebContainers"],
  ["llrt", "LLRT"],
  ["workerd", "workerd"],
];

/**
 * The runtime that `process` describes.
 *
 * @param process the global `process`, or undefined in a runtime without it
 * @param requested the value of BERKELEY_POLLER
 * @throws AddonError for an unsupported runtime, and for a wrong value of BERKELEY_POLLER
 */
export function runtimeOf(process: ProcessLike | undefined, requested: string | undefined): Runtime {
  const versions = process?.versions ?? {};
  for (const [component, name] of [["bun", "Bun"] as const, ["deno", "Deno"] as const]) {
    const version = versions[component];
    if (version === undefined) continue;
    if (pollerOf(requested, "thread") === "uv") {
      throw new AddonError(
        `Cannot load berkeley: ${POLLER_VARIABLE} is "uv" under ${name}, required "thread", or Node.js`,
        "poller",
      );
    }
    return { name, version, libuv: false, poller: "thread" };
  }
  for (const [component, name] of UNSUPPORTED) {
    const version = versions[component];
    if (version !== undefined) refuseRuntime(`${name} ${version}`);
  }
  const { node } = versions;
  if (
    node === undefined ||
    versions["v8"] === undefined ||
    versions["uv"] === undefined ||
    versions["napi"] === undefined
  ) {
    refuseRuntime(node === undefined ? "unknown" : `an imitation of Node.js ${node} without V8, libuv or Node-API`);
  }
  // Negated, so that NaN (a version without a number) is refused too.
  if (!(Number.parseInt(node, 10) >= OLDEST_NODE)) refuseRuntime(`Node.js ${node}`);
  return { name: "Node.js", version: node, libuv: true, poller: pollerOf(requested, "uv") };
}

function refuseRuntime(found: string): never {
  throw new AddonError(`Cannot load berkeley: the runtime is ${found}, ${REQUIRED}`, "runtime");
}

/** The requested poller, or the default if none is requested. */
function pollerOf(requested: string | undefined, defaultPoller: Poller): Poller {
  if (requested === undefined || requested === "") return defaultPoller;
  if (requested === "uv" || requested === "thread") return requested;
  throw new AddonError(
    `Cannot load berkeley: ${POLLER_VARIABLE} is ${quote(requested)}, required "uv" or "thread"`,
    "poller",
  );
}

/** An environment variable; undefined if Deno throws because its user does not permit the access. */
function environmentVariable(name: string): string | undefined {
  try {
    return process.env[name];
  } catch {
    return undefined;
  }
}

const globalProcess = (globalThis as { process?: ProcessLike }).process;

export const runtime: Runtime = runtimeOf(
  globalProcess,
  globalProcess === undefined ? undefined : environmentVariable(POLLER_VARIABLE),
);
