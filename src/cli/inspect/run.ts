// Runs a program of Node with the inspector: sets the program's environment, forwards signals to the program, and waits
// until it has ended.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { statSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { resolve } from "node:path";

import { UsageError } from "../frame/failure.js";

/** A program, and the options of the command `inspect`. */
export interface InspectedProgram {
  readonly program: string;
  readonly args: readonly string[];
  readonly port: number | undefined;
  readonly headless: boolean;
  /** The path of the file of the JSON lines. */
  readonly output: string | undefined;
  readonly payloads: boolean;
  /** The path of the capture. */
  readonly record: string | undefined;
  readonly json: boolean;
  /** Prints a remark on standard error. */
  readonly note: (text: string) => void;
}

/** With --json, the descriptor to which the program writes the JSON lines. */
const LINES_FD = 3;

/** The environment of the program, from which the inspector in the program reads its settings. */
function environmentOf({ port, headless, output, payloads, record, json }: InspectedProgram): NodeJS.ProcessEnv {
  const env = { ...process.env };
  for (const name of Object.keys(env)) if (name.startsWith("BERKELEY_INSPECT")) delete env[name];
  // Node divides NODE_OPTIONS at spaces. The resolved module is a URL, and a URL contains no space.
  env["NODE_OPTIONS"] = `${env["NODE_OPTIONS"] ?? ""} --import=${import.meta.resolve("berkeley/inspect")}`.trimStart();
  if (port !== undefined) env["BERKELEY_INSPECT_PORT"] = String(port);
  if (payloads) env["BERKELEY_INSPECT_PAYLOADS"] = "1";
  if (record !== undefined) env["BERKELEY_INSPECT_RECORD"] = resolve(record);
  // With the JSON lines there is no page.
  if (json) env["BERKELEY_INSPECT_FILE"] = `fd:${LINES_FD}`;
  else if (output !== undefined) env["BERKELEY_INSPECT_FILE"] = resolve(output);
  else if (headless) env["BERKELEY_INSPECT_FILE"] = "fd:2"; // standard error
  return env;
}

/** Makes the file of an option empty, because the processes of the program only append to it. */
function makeEmpty(name: string, path: string | undefined): void {
  if (path === undefined) return;
  try {
    // A named pipe has no content, and opening it would wait for its reader.
    if (statSync(path, { throwIfNoEntry: false })?.isFile() === false) return;
    writeFileSync(path, "");
  } catch (error) {
    throw new UsageError(`${name} is ${JSON.stringify(path)}, which can't be written: ${(error as Error).message}`);
  }
}

/** Runs the program. Resolves with its exit status. */
export async function runInspected(inspected: InspectedProgram): Promise<number> {
  const { program, args, json, port, headless, output } = inspected;
  const hasPage = !headless && !json && output === undefined;
  if (port !== undefined && !hasPage) {
    throw new UsageError("--port is given without a page: --headless, --output and --json have none");
  }
  if (json && output !== undefined)
    throw new UsageError("--output is given with --json, whose lines go to standard output");
  makeEmpty("--output", output);
  makeEmpty("--record", inspected.record);
  const child = spawn(program, [...args], {
    env: environmentOf(inspected),
    // With --json, descriptor 3 of the program (the JSON lines) is our standard output, and the standard output of the
    // program is our standard error.
    stdio: json ? ["inherit", 2, 2, 1] : "inherit",
  });
  const forward = (signal: NodeJS.Signals): void => void child.kill(signal);
  // At a terminal, Ctrl-C sends SIGINT to both processes, so it is not forwarded.
  const signals = (["SIGINT", "SIGTERM", "SIGHUP"] as const).filter(
    (name) => name !== "SIGINT" || !process.stdin.isTTY,
  );
  for (const name of signals) process.on(name, forward);
  try {
    const [status, signal] = (await once(child, "exit")) as [number | null, NodeJS.Signals | null];
    return status ?? 128 + constants.signals[signal!];
  } catch (error) {
    inspected.note(`cannot start ${JSON.stringify(program)}: ${(error as Error).message}`);
    // The status of a shell for a program that it can't start.
    return 127;
  } finally {
    for (const name of signals) process.off(name, forward);
  }
}
