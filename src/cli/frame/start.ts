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
  const [word = "", ...rest] = argv;
  try {
    process.exitCode = await run(stdout, word, rest, version);
  } catch (error) {
    process.exitCode = reportFailure(error, word, rest);
  }
  process.on("exit", () => {
    if (stdout.writeError === undefined) return;
    process.stderr.write(`berkeley: cannot write the output: ${explain(stdout.writeError)}\n`);
    process.exitCode ||= EXIT_FAILURE;
  });
}

async function run(stdout: StandardOutput, word: string, rest: readonly string[], version: string): Promise<number> {
  const width = widthOf(process.stdout.columns || Infinity);
  if (word === "" || word === "--help" || word === "-h") {
    stdout.text(helpOfAll(COMMANDS, width));
    return EXIT_SUCCESS;
  }
  const command = await find(word);
  const [{ parse }, { Output }, { Interrupts }] = await Promise.all([
    import("./parse.js"),
    import("./output.js"),
    import("./interrupts.js"),
  ]);
  const { help, args, options } = parse(command, rest);
  if (help) {
    stdout.text(helpOf(command, width));
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

async function find(word: string): Promise<Command> {
  const entry = COMMANDS.find(({ name }) => name === word);
  if (entry !== undefined) return (await entry.load()).command;
  const names = COMMANDS.map(({ name }) => name);
  if (!word.startsWith("-")) {
    throw new UsageError(`unknown command ${JSON.stringify(word)}${didYouMean(word, names)}`);
  }
  throw new UsageError(
    `unknown option ${JSON.stringify(word)}${didYouMean(word, ["--help", "--version"])}; other options stand ` +
      "after a command",
  );
}

/** Prints an error and returns its exit status. */
function reportFailure(error: unknown, word: string, rest: readonly string[]): number {
  if (error instanceof OutputClosedError) return EXIT_SUCCESS;
  const status = statusOf(error);
  if (error instanceof InterruptedError) return status;
  if (rest.includes("--json")) process.stderr.write(`${JSON.stringify(toJson(error))}\n`);
  else {
    const known = COMMANDS.some(({ name }) => name === word);
    const where = known ? `berkeley ${word} --help` : "berkeley --help";
    const hint = error instanceof UsageError ? ` (see ${where})` : "";
    process.stderr.write(`berkeley: ${explain(error)}${hint}\n`);
  }
  return status;
}
