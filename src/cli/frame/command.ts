// A command: a description and a function that runs it. The parser, the help, the man page and the shell completions
// are made from the description.
//
// The file of a command has no static import of "berkeley" except of types. It loads the library when it runs:
// `const { connect } = await import("berkeley")`. So help, completion and man pages do not load the addon.

import type { Interrupts } from "./interrupts.js";
import type { Output } from "./output.js";
import type { ValueParser } from "./values.js";

/** An option of a command. */
export interface OptionSpec<T = unknown> {
  /** The names of the option and of its value, as help prints them: `-u, --udp` or `--timeout TIME`. */
  readonly flags: string;
  /** The text of help: one sentence without a full stop. */
  readonly about: string;
  readonly kind: "flag" | "value" | "list";
  /** The value if the option is not given. */
  readonly initial: T;
  /** `initial` as help prints it. Absent if help prints no default. */
  readonly shownDefault?: string | undefined;
  /** Absent for a flag. */
  readonly parser?: ValueParser<unknown> | undefined;
}

/** An argument of a command. */
export interface ArgumentSpec {
  /** In capitals, as help prints it. */
  readonly name: string;
  readonly about: string;
  readonly optional?: boolean;
  /** Whether the argument takes all remaining words. Only the last argument may be variadic. */
  readonly variadic?: boolean;
  /** Words that a shell may offer to complete the argument; `file` for names of files. */
  readonly complete?: readonly string[] | "file";
}

export interface Example {
  readonly about: string;
  readonly command: string;
}

type Options = Readonly<Record<string, OptionSpec>>;

/** The values of options, by the names of their fields in `CommandSpec.options`. */
export type OptionValues<O extends Options> = {
  readonly [K in keyof O]: O[K] extends OptionSpec<infer T> ? T : never;
};

/** The arguments of `run()`. */
export interface Invocation<O extends Options = Options> {
  readonly args: readonly string[];
  readonly options: OptionValues<O>;
  readonly output: Output;
  /** SIGINT (Ctrl-C), SIGTERM and SIGHUP. */
  readonly interrupts: Interrupts;
  /** The version of the package. */
  readonly version: string;
}

/** The description of a command. */
export interface CommandSpec<O extends Options = Options> {
  readonly name: string;
  /** One line, without a full stop. */
  readonly summary: string;
  /** Paragraphs, each without line breaks. */
  readonly description: readonly string[];
  /** In the order of the command line. */
  readonly arguments?: readonly ArgumentSpec[];
  readonly options: O;
  readonly examples: readonly Example[];
  /** Exit statuses of this command, besides `EXIT_STATUS`. */
  readonly exitStatus?: readonly (readonly [status: string, about: string])[];
  /** Man pages for the section SEE ALSO, such as `ss(8)`. */
  readonly seeAlso?: readonly string[];
  /** Runs the command; resolves with the exit status. */
  run(invocation: Invocation<O>): Promise<number>;
}

/** A command without the types of its options. */
export interface Command extends Omit<CommandSpec, "run"> {
  run(invocation: Invocation): Promise<number>;
}

/** Makes a command. `run` gets the value of each option with the type that the option's parser returns. */
export function define<const O extends Options>(spec: CommandSpec<O>): Command {
  return spec;
}

/** An option without a value. */
export function flag(flags: string, about: string): OptionSpec<boolean> {
  return { flags, about, kind: "flag", initial: false };
}

/** An option with a value, which is undefined if the option is not given. */
export function option<T>(flags: string, about: string, parser: ValueParser<T>): OptionSpec<T | undefined> {
  return { flags, about, kind: "value", initial: undefined, parser };
}

/** An option with a value that has a default. */
export function optionWithDefault<T>(
  flags: string,
  about: string,
  parser: ValueParser<T>,
  initial: T,
  shownDefault: string = String(initial),
): OptionSpec<T> {
  return { flags, about, kind: "value", initial, shownDefault, parser };
}

/** An option that may be given several times. */
export function list<T>(flags: string, about: string, parser: ValueParser<T>): OptionSpec<readonly T[]> {
  return { flags, about, kind: "list", initial: [], parser };
}

/** The long name of an option: `--udp` of `-u, --udp`. */
export function longOf(spec: OptionSpec): string {
  return /--[\w-]+/.exec(spec.flags)![0];
}

/** The short name of an option: `-u` of `-u, --udp`. Undefined if it has none. */
export function shortOf(spec: OptionSpec): string | undefined {
  return /^-\w\b/.exec(spec.flags)?.[0];
}

/** How help prints an argument: `[PORT...]`. */
export function usageOf(argument: ArgumentSpec): string {
  const name = `${argument.name}${argument.variadic === true ? "..." : ""}`;
  return argument.optional === true ? `[${name}]` : name;
}
