// Runs a program of Node with the inspector: sets its environment, forwards signals, and waits for its end.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { statSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { resolve } from "node:path";

import { Failure, UsageError } from "../frame/failure.js";

export interface InspectedProgram {
  readonly program: string;
  readonly args: readonly string[];
  readonly port: number | undefined;
  readonly headless: boolean;
  readonly output: string | undefined;
  readonly payloads: boolean;
  readonly record: string | undefined;
  readonly json: boolean;
  readonly note: (text: string) => void;
}

/** With --json, the descriptor to which the program writes the JSON lines. */
const LINES_FD = 3;

function environmentOf({ port, headless, output, payloads, record, json }: InspectedProgram): NodeJS.ProcessEnv {
  const env = { ...process.env };
  for (const name of Object.keys(env)) if (name.startsWith("BERKELEY_INSPECT")) delete env[name];
  // A URL has no space, at which Node would divide NODE_OPTIONS.
  env["NODE_OPTIONS"] = `${env["NODE_OPTIONS"] ?? ""} --import=${import.meta.resolve("berkeley/inspect")}`.trimStart();
  if (port !== undefined) env["BERKELEY_INSPECT_PORT"] = String(port);
  if (payloads) env["BERKELEY_INSPECT_PAYLOADS"] = "1";
  if (record !== undefined) env["BERKELEY_INSPECT_RECORD"] = resolve(record);
  const lines = json ? `fd:${LINES_FD}` : output === undefined ? (headless ? "fd:2" : undefined) : resolve(output);
  if (lines !== undefined) env["BERKELEY_INSPECT_FILE"] = lines;
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
  if (port !== undefined && (headless || json || output !== undefined)) {
    throw new UsageError("--port is given without a page: --headless, --output and --json have none");
  }
  if (json && output !== undefined)
    throw new UsageError("--output is given with --json, whose lines go to standard output");
  makeEmpty("--output", output);
  makeEmpty("--record", inspected.record);
  const child = spawn(program, [...args], {
    env: environmentOf(inspected),
    // With --json the JSON lines go to standard output, and the output of the program to standard error.
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
    inspected.note(new Failure(`cannot start ${JSON.stringify(program)}: ${(error as Error).message}`).message);
    return 127;
  } finally {
    for (const name of signals) process.off(name, forward);
  }
}
