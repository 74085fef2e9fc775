// Paths of the project. This file runs as out/bench/lib/paths.js, three folders below the root.

import { fileURLToPath } from "node:url";

const root: URL = new URL("../../../", import.meta.url);

/** The C sources. */
export const nativeSources: string = fileURLToPath(new URL("bench/native/", root));
/** Echo servers for other runtimes. */
export const peerSources: string = fileURLToPath(new URL("bench/peers/", root));
/** The folder into which other runtimes are installed. */
export const peerPrograms: string = fileURLToPath(new URL("out/peers/", root));
/** Compiled programs and generated files. */
export const outputs: string = fileURLToPath(new URL("out/bench/made/", root));

/** The compiled bench/, whose scripts import the compiled files. */
export const compiledBench: string = fileURLToPath(new URL("out/bench/", root));
/** The compiled bench/, whose scripts import the package as users get it. */
export const packedBench: string = fileURLToPath(new URL("packed/bench/", root));
/** The package as users get it. */
export const packedLibrary: string = fileURLToPath(new URL("packed/node_modules/berkeley", root));
/** The compiled examples/, which some servers import. */
export const compiledExamples: string = fileURLToPath(new URL("out/examples/", root));
/** The script that makes packed/. */
export const packer: string = fileURLToPath(new URL("scripts/packed.mjs", root));
