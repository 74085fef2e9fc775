// The options that every command has.

import { flag, type OptionSpec, optionWithDefault } from "./command.js";
import { choice } from "./values.js";

export const COLORS = ["auto", "always", "never"] as const;

export interface CommonOptions {
  readonly json: OptionSpec<boolean>;
  readonly color: OptionSpec<(typeof COLORS)[number]>;
  readonly quiet: OptionSpec<boolean>;
  readonly verbose: OptionSpec<boolean>;
}

export const COMMON_OPTIONS: CommonOptions = {
  json: flag(
    "--json",
    "print each result as a JSON object on a line of its own, and each error as an object on standard error",
  ),
  color: optionWithDefault("--color WHEN", "when to use colors: auto, always or never", choice(COLORS), "auto"),
  quiet: flag("-q, --quiet", "print no notes on standard error, only errors"),
  verbose: flag("-v, --verbose", "print more notes on standard error"),
};

/** The flags of the help option, which commander adds. Help prints them after the common options. */
export const HELP_FLAGS = "-h, --help";
