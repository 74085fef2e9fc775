// `node --import berkeley/inspect app.js` starts the inspector. An import statement of the program does not. Node.js
// loads the module of `--import` before the program, in worker threads too.

import { pathToFileURL } from "node:url";

import { fs } from "../builtins.js";
import { type InspectorOptions, claimEnvironment, isDisabled, optionsFromEnvironment } from "./inspectOptions.js";
import { startInspector } from "./inspector.js";

/** Whether the arguments of Node.js, or NODE_OPTIONS, have `--import` with this module. */
function isPreloaded(): boolean {
  const args = [...process.execArgv, ...(process.env["NODE_OPTIONS"]?.split(/\s+/) ?? [])];
  return args.some((arg, index) => {
    let specifier: string | undefined;
    if (arg === "--import") specifier = args[index + 1];
    else if (arg.startsWith("--import=")) specifier = arg.slice("--import=".length);
    // An argument in NODE_OPTIONS may be quoted.
    return specifier !== undefined && isThisModule(specifier.replace(/^"|"$/g, ""));
  });
}

/** The URL of the entry. In development, the entry is a file beside this one. In the package, both are one file. */
const ENTRY = new URL("./index.js", import.meta.url).href;

function isThisModule(specifier: string): boolean {
  if (specifier === "berkeley/inspect" || specifier === ENTRY) return true;
  // Otherwise only a file URL or a path can lead to this module.
  if (!/^(?:file:|\.{0,2}\/).*index\.js$/.test(specifier)) return false;
  try {
    const url = new URL(specifier, pathToFileURL(`${process.cwd()}/`));
    // Node.js resolves symbolic links in the URL of a module, so ENTRY has none.
    return pathToFileURL(fs().realpathSync(url)).href === ENTRY;
  } catch {
    return false;
  }
}

/** The options of this process. A child process uses a free port: its parent uses the port in the environment. */
function readOwnOptions(): InspectorOptions {
  const opts = optionsFromEnvironment(process.env);
  return (opts.port ?? 0) === 0 || claimEnvironment(process.env) ? opts : { ...opts, port: 0 };
}

/** Writes to standard error. `process.stderr` would emit an error event if the reader has closed the pipe. */
function printError(text: string): void {
  try {
    fs().writeSync(2, text);
  } catch {
    // Standard error is closed. The inspector runs anyway.
  }
}

async function start(): Promise<void> {
  try {
    const opts = readOwnOptions();
    // A child process inherits only the standard descriptors, so it cannot write to another descriptor of its parent.
    if (typeof opts.headless === "number" && opts.headless > 2 && !claimEnvironment(process.env)) return;
    const { url } = await startInspector(opts);
    if (url !== undefined) printError(`berkeley: the inspector of process ${process.pid} is at ${url}\n`);
  } catch (error) {
    process.emitWarning(`The inspector did not start: ${(error as Error).message}`, "InspectorWarning");
  }
}

/** Settled when the inspector has started. Undefined if no `--import` requests it, or the environment disables it. */
export const started: Promise<void> | undefined = isPreloaded() && !isDisabled(process.env) ? start() : undefined;
