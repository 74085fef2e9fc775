#!/usr/bin/env node
// The command line: finds the command, runs it, and turns its end into an exit status.
//
// 0 is a good end (Ctrl-C included, where it is the way to end), 1 what the kernel refused, 2 a wrong command line.

import { readFileSync } from "node:fs";

import { COMMAND_LIST, UsageError } from "./usage.js";

/** A command is loaded when it is asked for: help needs no addon, and a command that lacks something harms no other. */
interface Command {
  readonly help: string;
  /** Runs it; resolves with the exit status. */
  run(args: readonly string[]): Promise<number>;
}

const commands: Readonly<Record<string, () => Promise<Command>>> = {
  steps: () => import("./steps.js"),
};

const HELP = `berkeley: Berkeley sockets for TypeScript

Usage: berkeley COMMAND [OPTION...]

${COMMAND_LIST}

Options:
  --help      this text; after a command, that command's
  --version   the version

The exit status is 0 when all went well, 1 when a call failed, 2 for a wrong command line.
`;

function version(): string {
  const { version: number } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  return `berkeley ${number}\n`;
}

async function main([word, ...rest]: readonly string[]): Promise<number> {
  if (word === "--help" || word === "-h") {
    process.stdout.write(HELP);
    return 0;
  }
  if (word === "--version") {
    process.stdout.write(version());
    return 0;
  }
  if (word === undefined) throw new UsageError("a command is missing");
  if (word.startsWith("-")) throw new UsageError(`unknown option ${JSON.stringify(word)}`);
  const load = Object.hasOwn(commands, word) ? commands[word] : undefined;
  if (load === undefined) throw new UsageError(`unknown command ${JSON.stringify(word)}`);
  const command = await load();
  if (rest.includes("--help") || rest.includes("-h")) {
    process.stdout.write(command.help);
    return 0;
  }
  return command.run(rest);
}

/** One line for what a user can cause; the stack for what only a mistake of ours can. */
function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const expected = error instanceof UsageError || "syscall" in error || error.message.startsWith("cannot load");
  return expected ? error.message.replaceAll("\n", " ") : (error.stack ?? error.message);
}

// Somebody who reads no further (`| head`) is no reason to fail; a full disk is. Commands hear of it from Output.
let lost: NodeJS.ErrnoException | undefined;
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") lost ??= error;
});
process.stderr.on("error", () => {});
process.on("exit", () => {
  if (lost === undefined) return;
  process.stderr.write(`berkeley: cannot write the output: ${lost.message}\n`);
  process.exitCode ||= 1;
});

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`berkeley: ${explain(error)}\n`);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
