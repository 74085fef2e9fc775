// Where things are. This file runs as out/bench/lib/paths.js, three folders below the root of the project.

import { fileURLToPath } from "node:url";

const root: URL = new URL("../../../", import.meta.url);

/** The C sources. */
export const nativeSources: string = fileURLToPath(new URL("bench/native/", root));
/** Compiled programs and generated files. */
export const outputs: string = fileURLToPath(new URL("out/bench/made/", root));

/** A compiled server of bench/servers/, by its name. */
export function serverScript(name: string): string {
  return fileURLToPath(new URL(`out/bench/servers/${name}.js`, root));
}
