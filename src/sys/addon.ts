// Loading the addon: the only place that touches the .node file.

import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

import type { Calls } from "./calls.js";

/** What the addon exports: the calls, and the platform's numbers by name. */
export interface Addon extends Calls {
  readonly constants: Readonly<Record<string, number>>;
  readonly errnos: Readonly<Record<string, number>>;
}

/** The folder of the package: the nearest one above with binding.gyp, for what is compiled lies at different depths. */
function packageFolder(): URL {
  let folder = new URL(".", import.meta.url);
  while (!existsSync(new URL("binding.gyp", folder)) && folder.pathname !== "/") folder = new URL("..", folder);
  return folder;
}

function load(): Addon {
  const file = new URL("build/Release/berkeley.node", packageFolder());
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
