// From a command line to an exit status: finds the command, parses its options, runs it, and prints its error.

import { COMMANDS } from "../commands.js";
import type { Command } from "./command.js";
import { explain, statusOf, EXIT_SUCCESS, toJson, UsageError, EXIT_FAILURE, InterruptedError } from "./failure.js";
import { helpOf, helpOfAll, widthOf } from "./help.js";
import { didYouMean } from "./suggest.js";
import { OutputClosedError, StandardOutput } from "./standardOutput.js";

/** Runs the program, and sets its exit status. `version` is the version of the package. */
export async function start(argv: readonly string[], version: string): Promise<void> {
  const stdout = StandardOutput.get();
  const [commandName = "", ...commandArgs] = argv;
  try {
    process.exitCode = await run(stdout, commandName, commandArgs, version);
  } catch (error) {
    process.exitCode = reportFailure(error, commandName, commandArgs);
  }
  // A write may still fail after the command has ended.
  process.on("exit", () => {
    if (stdout.writeError === undefined) return;
    process.stderr.write(`berkeley: cannot write the output: ${explain(stdout.writeError)}\n`);
    process.exitCode ||= EXIT_FAILURE;
  });
}

/** Runs the command, or prints help. Resolves with the exit status. */
async function run(
  stdout: StandardOutput,
  commandName: string,
  commandArgs: readonly string[],
  version: string,
): Promise<number> {
  const helpWidth = widthOf(process.stdout.columns || Infinity);
  if (commandName === "" || commandName === "--help" || commandName === "-h") {
    stdout.writeText(helpOfAll(COMMANDS, helpWidth));
    return EXIT_SUCCESS;
  }
  const command = await load(commandName);
  const [{ parse }, { Output }, { Interrupts }] = await Promise.all([
    import("./parse.js"),
    import("./output.js"),
    import("./interrupts.js"),
  ]);
  const { help, args, options } = parse(command, commandArgs);
  if (help) {
    stdout.writeText(helpOf(command, helpWidth));
    return EXIT_SUCCESS;
  }
  const interrupts = new Interrupts();
  try {
    return await command.run({ args, options, output: new Output(options), interrupts, version });
  } catch (error) {
    // After Ctrl-C, other errors are only consequences of the abort.
    throw interrupts.signal.aborted ? interrupts.signal.reason : error;
  }
}

/** @throws UsageError for an unknown command, and for an option in place of a command */
async function load(commandName: string): Promise<Command> {
  const found = COMMANDS.find(({ name }) => name === commandName);
  if (found !== undefined) return (await found.load()).command;
  const names = COMMANDS.map(({ name }) => name);
  if (!commandName.startsWith("-")) {
    throw new UsageError(`unknown command ${JSON.stringify(commandName)}${didYouMean(commandName, names)}`);
  }
  throw new UsageError(
    `unknown option ${JSON.stringify(commandName)}${didYouMean(commandName, ["--help", "--version"])}; other options ` +
      "stand after a command",
  );
}

/** Prints an error and returns its exit status. */
function reportFailure(error: unknown, commandName: string, commandArgs: readonly string[]): number {
  // A closed standard output is no failure. Any other error of a write, such as a full disk, is reported at the exit.
  if (error instanceof OutputClosedError) return EXIT_SUCCESS;
  const status = statusOf(error);
  if (error instanceof InterruptedError) return status;
  if (commandArgs.includes("--json")) process.stderr.write(`${JSON.stringify(toJson(error))}\n`);
  else {
    const isKnown = COMMANDS.some(({ name }) => name === commandName);
    const helpCommand = isKnown ? `berkeley ${commandName} --help` : "berkeley --help";
    const hint = error instanceof UsageError ? ` (see ${helpCommand})` : "";
    process.stderr.write(`berkeley: ${explain(error)}${hint}\n`);
  }
  return status;
}
