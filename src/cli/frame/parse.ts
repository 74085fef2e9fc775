// Parses a command line with commander, by the description of the command. Errors of commander become a UsageError.

import { Command as Parser, CommanderError, Option } from "commander";

import { type Command, longOf, type OptionSpec, usageOf } from "./command.js";
import { COMMON_OPTIONS } from "./common.js";
import { UsageError } from "./failure.js";
import { didYouMean } from "./suggest.js";
import { ValueError } from "./values.js";

export interface ParsedCommandLine {
  /** Whether --help was given. Then the other words were not parsed. */
  readonly help: boolean;
  readonly args: readonly string[];
  /** The values of the options and the common options, by their names in the description of the command. */
  readonly options: Readonly<Record<string, unknown>>;
}

export function parse(command: Command, argv: readonly string[]): ParsedCommandLine {
  const specs = { ...command.options, ...COMMON_OPTIONS };
  const parser = new Parser(command.name);
  // With these settings, commander prints nothing, and throws errors instead of ending the process.
  const ignore = (): void => {};
  parser.exitOverride().configureOutput({ writeOut: ignore, writeErr: ignore, outputError: ignore });
  parser.helpOption("-h, --help").showSuggestionAfterError(false);
  parser.helpInformation = () => "";
  for (const spec of Object.values(specs)) parser.addOption(toOption(spec));
  for (const argument of command.arguments ?? []) parser.argument(toArgument(usageOf(argument)));
  // Without an action, commander would not report missing arguments.
  parser.action(() => {});
  try {
    parser.parse([...argv], { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.code === "commander.helpDisplayed") return { help: true, args: [], options: {} };
    throw new UsageError(messageFor(error, command, Object.values(specs)));
  }
  const options = Object.fromEntries(
    Object.entries(specs).map(([name, spec]) => [name, parser.getOptionValue(nameIn(spec)) ?? spec.initial]),
  );
  return { help: false, args: parser.args, options };
}

/** The name under which commander stores the value: the long name without `--`. */
const nameIn = (spec: OptionSpec): string => longOf(spec).slice(2);

/** `--timeout TIME` is `--timeout <TIME>` for commander. */
function toOption(spec: OptionSpec): Option {
  const { parser } = spec;
  const option = new Option(spec.flags.replace(/ ([A-Z]\S*)$/, " <$1>"), spec.about);
  option.attributeName = () => nameIn(spec);
  // commander would read `--no-shutdown` as `--shutdown` with the value false.
  option.negate = false;
  if (parser === undefined) return option;
  return option.argParser((text: string, previous: unknown) => {
    let value: unknown;
    try {
      value = parser(text);
    } catch (error) {
      if (!(error instanceof ValueError)) throw error;
      throw new UsageError(`${longOf(spec)} is ${JSON.stringify(text)}, ${error.message}`);
    }
    return spec.kind === "list" ? [...((previous as unknown[] | undefined) ?? []), value] : value;
  });
}

/** For commander, `HOST` becomes `<HOST>`; `[PORT...]` stays. */
const toArgument = (usage: string): string => (usage.startsWith("[") ? usage : `<${usage}>`);

/** The message of the UsageError for an error of commander. */
function messageFor(error: CommanderError, command: Command, specs: readonly OptionSpec[]): string {
  // The word that the message of commander quotes: an option, or the name of an argument.
  const quoted = /'([^']*)'/.exec(error.message)?.[1] ?? "";
  switch (error.code) {
    case "commander.unknownOption":
      return `unknown option ${JSON.stringify(quoted)}${didYouMean(quoted, [...specs.map(longOf), "--help"])}`;
    case "commander.missingArgument": {
      const argument = command.arguments?.find(({ name }) => name === quoted.replace(/\.\.\.$/, ""));
      // The description of the argument up to the first `:`, `;` or `,`.
      return `${quoted} is missing: ${argument?.about.replace(/[:;,].*/, "") ?? "an argument"}`;
    }
    case "commander.optionMissingArgument": {
      // `quoted` is such as `-w, --timeout <TIME>`. Removes the short name.
      const [name = "", value = "a value"] = quoted.replace(/^-\w, /, "").split(" ");
      return `${name} is without a value, required ${value.replace(/[<>]/g, "")}`;
    }
    case "commander.excessArguments": {
      const max = command.arguments?.length ?? 0;
      const allowed = max === 0 ? "none" : command.arguments!.map(usageOf).join(" ");
      return `there are too many arguments, required ${allowed}`;
    }
    default:
      return error.message.replace(/^error: /, "").replaceAll("\n", " ");
  }
}
