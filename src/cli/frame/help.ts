// The text of `--help`, made from the descriptions of the commands.

import { type ArgumentSpec, type Command, type OptionSpec, usageOf } from "./command.js";
import { COMMON_OPTIONS, HELP_FLAGS } from "./common.js";
import { EXIT_STATUS } from "./failure.js";

/** The fields of a command in the list of commands. */
export interface CommandSummary {
  readonly name: string;
  readonly summary: string;
}

/** Limits of the width of help, in columns. Without a terminal, help has the maximum width. */
const MAX_WIDTH = 100;
const MIN_WIDTH = 40;
/** Maximum width of the left column of a table, and minimum width of the right one. */
const MAX_LEFT = 30;
const MIN_RIGHT = 20;

/** The width of help on a terminal with this number of columns. */
export function widthOf(columns: number): number {
  return Math.max(MIN_WIDTH, Math.min(MAX_WIDTH, columns));
}

/** The text that `berkeley` prints without a command: the commands, the options and the exit statuses. */
export function helpOfAll(commands: readonly CommandSummary[], width: number = MAX_WIDTH): string {
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

export function helpOf(command: Command, width: number = MAX_WIDTH): string {
  const { name, summary, description, examples } = command;
  const args = command.arguments ?? [];
  const ownOptions = Object.values(command.options);
  const commonRows = [...Object.values(COMMON_OPTIONS).map(optionRow), [HELP_FLAGS, "this text"] as const];
  return `${[
    `berkeley ${name}: ${summary}`,
    `Usage: ${usageLine(command)}`,
    ...description.map((paragraph) => fill(paragraph, width)),
    ...(args.length === 0 ? [] : [`Arguments:\n${table(args.map(argumentRow), width)}`]),
    ...(ownOptions.length === 0 ? [] : [`Options:\n${table(ownOptions.map(optionRow), width)}`]),
    `Options of every command:\n${table(commonRows, width)}`,
    `Examples:\n${examples.map((example) => `  # ${example.about}\n  ${example.command}`).join("\n\n")}`,
    `Exit status:\n${table([...EXIT_STATUS, ...(command.exitStatus ?? [])], width)}`,
  ].join("\n\n")}\n`;
}

export function usageLine({ name, arguments: args = [] }: Command): string {
  return ["berkeley", name, "[OPTION...]", ...args.map(usageOf)].join(" ");
}

const argumentRow = (argument: ArgumentSpec): readonly [string, string] => [argument.name, argument.about];

/** The description of an option. In parentheses: its default, and whether it may be repeated. */
export function optionText({ about, shownDefault, kind }: OptionSpec): string {
  const additions = [
    ...(shownDefault === undefined ? [] : [shownDefault]),
    ...(kind === "list" ? ["may be repeated"] : []),
  ];
  return additions.length === 0 ? about : `${about} (${additions.join("; ")})`;
}

const optionRow = (spec: OptionSpec): readonly [string, string] => [
  // An option without a short name is indented, so that all long names are in one column.
  spec.flags.startsWith("--") ? `    ${spec.flags}` : spec.flags,
  optionText(spec),
];

/**
 * Formats two columns. The text of the right column is broken into lines. If the left text is too wide, the right text
 * begins in the next line.
 */
function table(rows: readonly (readonly [left: string, right: string])[], width: number): string {
  // Two spaces are before the left column, and at least two between the columns.
  const leftWidth = Math.min(MAX_LEFT, Math.max(...rows.map(([left]) => left.length)) + 2);
  const indent = " ".repeat(leftWidth + 2);
  return rows
    .map(([left, right]) => {
      const text = fill(right, Math.max(MIN_RIGHT, width - indent.length)).replaceAll("\n", `\n${indent}`);
      const isLeftTooWide = left.length + 2 > leftWidth;
      return isLeftTooWide ? `  ${left}\n${indent}${text}` : `  ${left.padEnd(leftWidth)}${text}`;
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
