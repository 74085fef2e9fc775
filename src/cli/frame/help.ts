// The text of `--help`, made from the descriptions of the commands.

import { type ArgumentSpec, type Command, type OptionSpec, usageOf } from "./command.js";
import { COMMON_OPTIONS, HELP_FLAGS } from "./common.js";
import { EXIT_STATUS } from "./failure.js";

/** The fields of a command in the list of commands. */
export interface CommandSummary {
  readonly name: string;
  readonly summary: string;
}

/** Maximum width of help, and its width without a terminal. */
const WIDTH = 100;

export function widthOf(columns: number): number {
  return Math.max(40, Math.min(WIDTH, columns));
}

/** The list that `berkeley` alone prints: a line for each command. */
export function helpOfAll(commands: readonly CommandSummary[], width: number = WIDTH): string {
  const rows = commands.map(({ name, summary }) => [name, summary] as const);
  const options = [
    [HELP_FLAGS, "this text; after a command, the help of that command"],
    ["-V, --version", "the version"],
  ] as const;
  return `${[
    "berkeley: the sockets of this machine, from the command line",
    "Usage: berkeley COMMAND [OPTION...] [ARGUMENT...]",
    `Commands:\n${table(rows, width)}`,
    `Options:\n${table(options, width)}`,
    `Exit status:\n${table(EXIT_STATUS, width)}`,
  ].join("\n\n")}\n`;
}

export function helpOf(command: Command, width: number = WIDTH): string {
  const { name, summary, description, examples } = command;
  const given = command.arguments ?? [];
  const own = Object.values(command.options);
  return `${[
    `berkeley ${name}: ${summary}`,
    `Usage: ${usageLine(command)}`,
    ...description.map((paragraph) => fill(paragraph, width)),
    ...(given.length === 0 ? [] : [`Arguments:\n${table(given.map(argumentRow), width)}`]),
    ...(own.length === 0 ? [] : [`Options:\n${table(own.map(optionRow), width)}`]),
    `Options of every command:\n${table([...Object.values(COMMON_OPTIONS).map(optionRow), [HELP_FLAGS, "this text"]], width)}`,
    `Examples:\n${examples.map((one) => `  # ${one.about}\n  ${one.command}`).join("\n\n")}`,
    `Exit status:\n${table([...EXIT_STATUS, ...(command.exitStatus ?? [])], width)}`,
  ].join("\n\n")}\n`;
}

export function usageLine({ name, arguments: given = [] }: Command): string {
  return ["berkeley", name, "[OPTION...]", ...given.map(usageOf)].join(" ");
}

const argumentRow = (argument: ArgumentSpec): readonly [string, string] => [argument.name, argument.about];

/** The description of an option, with its default. */
export function optionText({ about, shown, kind }: OptionSpec): string {
  const more = [...(shown === undefined ? [] : [shown]), ...(kind === "list" ? ["may be repeated"] : [])];
  return more.length === 0 ? about : `${about} (${more.join("; ")})`;
}

const optionRow = (spec: OptionSpec): readonly [string, string] => [
  // An option without a short name is indented, so that all long names are in one column.
  spec.flags.startsWith("--") ? `    ${spec.flags}` : spec.flags,
  optionText(spec),
];

/** Formats two columns. The text of the second column is broken into lines. */
function table(rows: readonly (readonly [left: string, right: string])[], width: number): string {
  const column = Math.min(30, Math.max(...rows.map(([left]) => left.length)) + 2);
  const indent = " ".repeat(column + 2);
  return rows
    .map(([left, right]) => {
      const text = fill(right, Math.max(20, width - indent.length)).replaceAll("\n", `\n${indent}`);
      return left.length + 2 > column ? `  ${left}\n${indent}${text}` : `  ${left.padEnd(column)}${text}`;
    })
    .join("\n");
}

/** Breaks a paragraph into lines of at most `width` columns. */
function fill(text: string, width: number): string {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(/\s+/)) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line].join("\n");
}
