// What is wrong with a command line, and how options are read.

import { parseArgs, type ParseArgsConfig } from "node:util";

/** The commands, for help texts. */
export const COMMAND_LIST = `Commands:
  steps       the seven steps of a server on real sockets, then a server to talk to`;

/** A mistake in the command line: one line on stderr, and status 2. */
export class UsageError extends Error {
  constructor(message: string, command?: string) {
    super(`${message}; berkeley ${command === undefined ? "" : `${command} `}--help says what there is`);
  }
}

type Options = NonNullable<ParseArgsConfig["options"]>;
type Values = Readonly<Record<string, string | boolean | undefined>>;

/** The options of a command that takes nothing else. */
export function readOptions(command: string, args: readonly string[], options: Options): Values {
  try {
    return parseArgs({ args: [...args], options, strict: true, allowPositionals: false }).values as Values;
  } catch (error) {
    // The first sentence says what is wrong, the others talk about positional arguments.
    const [said = ""] = (error as Error).message.split(/\.\s|\.?\n/, 1);
    throw new UsageError(said.charAt(0).toLowerCase() + said.slice(1), command);
  }
}

/** A whole number given as an option's value. */
export function readNumber(
  command: string,
  name: string,
  text: string | boolean | undefined,
  otherwise: number,
  min: number,
  max: number,
): number {
  if (text === undefined) return otherwise;
  const value = typeof text === "string" && /^[0-9]{1,15}$/.test(text) ? Number(text) : NaN;
  if (value >= min && value <= max) return value;
  throw new UsageError(`--${name} is ${JSON.stringify(text)}, required a whole number from ${min} to ${max}`, command);
}
