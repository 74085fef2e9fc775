// Loading the addon: the only place that touches the .node file.

import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

import type { Calls } from "./calls.js";
import { runtime } from "./runtime.js";

/** What the addon exports: the calls, and the platform's numbers by name. */
export interface Addon extends Calls {
  readonly constants: Readonly<Record<string, number>>;
  readonly errnos: Readonly<Record<string, number>>;
}

function load(): Addon {
  // Known by now: in another runtime the addon might abort, so sys/runtime.ts refuses it when it is imported.
  void runtime;
  const file = new URL("../../build/Release/berkeley.node", import.meta.url);
  try {
    return createRequire(import.meta.url)(fileURLToPath(file)) as Addon;
  } catch (cause) {
    throw new Error(
      `cannot load berkeley's addon for ${process.platform}-${process.arch} (Node-API ${process.versions["napi"]}): ` +
        `tried ${fileURLToPath(file)}: ${(cause as Error).message}. ` +
        "It is built for Linux by `npx node-gyp rebuild` in the package's folder, with python3, make and a C compiler",
      { cause },
    );
  }
}

export const addon: Addon = load();
