// `node --import berkeley/inspect app.js` starts the inspector; an import of the program does not. Node runs what
// `--import` names before the program, and also in worker threads, where it starts the side of the worker.

import { isOff, optionsOfEnvironment } from "./inspectOptions.js";
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

function isOurs(specifier: string): boolean {
  return specifier === "berkeley/inspect" || /\/inspect\/(?:index|preload)\.js$/.test(specifier);
}

async function start(): Promise<void> {
  try {
    const { url } = await startInspector(optionsOfEnvironment(process.env));
    if (url !== undefined) process.stderr.write(`berkeley: the inspector of process ${process.pid} is at ${url}\n`);
  } catch (error) {
    process.emitWarning(`The inspector did not start: ${(error as Error).message}`, "InspectorWarning");
  }
}

/** Settled when the inspector has started, if `--import` asks for it. */
export const started: Promise<void> | undefined = isPreloaded() && !isOff(process.env) ? start() : undefined;
