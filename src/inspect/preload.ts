// `node --import berkeley/inspect app.js` starts the inspector; an import of the program does not. Node runs what
// `--import` names before the program, and also in worker threads, where it starts the side of the worker.

import { pathToFileURL } from "node:url";

import { fs } from "../builtins.js";
import { type InspectorOptions, isOff, optionsOfEnvironment, ownsEnvironment } from "./inspectOptions.js";
import { startInspector } from "./inspector.js";

/** Whether arguments of Node, or NODE_OPTIONS, name this module with `--import`. */
function isPreloaded(): boolean {
  const args = [...process.execArgv, ...(process.env["NODE_OPTIONS"]?.split(/\s+/) ?? [])];
  return args.some((arg, index) => {
    const value =
      arg === "--import" ? args[index + 1] : arg.startsWith("--import=") ? arg.slice("--import=".length) : "";
    return isOurs(value?.replace(/^"|"$/g, "") ?? "");
  });
}

/** The file of the entry: beside this file in development, and this file in the package. */
const OWN = new URL("./index.js", import.meta.url).href;

function isOurs(specifier: string): boolean {
  if (specifier === "berkeley/inspect" || specifier === OWN) return true;
  if (!/^(?:file:|\.{0,2}\/).*index\.js$/.test(specifier)) return false;
  try {
    const url = new URL(specifier, pathToFileURL(`${process.cwd()}/`));
    // Node resolves links.
    return pathToFileURL(fs().realpathSync(url)).href === OWN;
  } catch {
    return false;
  }
}

/** The options of this process: its parent may have the same environment, and has the port then. */
function ownOptions(): InspectorOptions {
  const opts = optionsOfEnvironment(process.env);
  return (opts.port ?? 0) === 0 || ownsEnvironment(process.env) ? opts : { ...opts, port: 0 };
}

/** Writes to standard error. A stream of Node would emit an error if nobody reads it any more. */
function print(text: string): void {
  try {
    fs().writeSync(2, text);
  } catch {
    // The inspector runs without the line.
  }
}

async function start(): Promise<void> {
  try {
    const opts = ownOptions();
    // The number of a descriptor means nothing in a child of the process that got it.
    if (typeof opts.headless === "number" && opts.headless > 2 && !ownsEnvironment(process.env)) return;
    const { url } = await startInspector(opts);
    if (url !== undefined) print(`berkeley: the inspector of process ${process.pid} is at ${url}\n`);
  } catch (error) {
    process.emitWarning(`The inspector did not start: ${(error as Error).message}`, "InspectorWarning");
  }
}

/** Settled when the inspector has started, if `--import` asks for it. */
export const started: Promise<void> | undefined = isPreloaded() && !isOff(process.env) ? start() : undefined;
