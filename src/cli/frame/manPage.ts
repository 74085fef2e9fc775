// The man page of each command in the format of man(7), made from the descriptions of the commands.

import { type Command, usageOf } from "./command.js";
import { COMMON_OPTIONS, HELP_FLAGS } from "./common.js";
import { EXIT_STATUS } from "./failure.js";
import { type CommandSummary, optionText } from "./help.js";

/** The page of a command: berkeley-NAME(1). */
export function manOf(command: Command, version: string): string {
  const { name, summary, description, examples, seeAlso = [] } = command;
  const args = command.arguments ?? [];
  const usage = args.map((argument) => ` ${italic(usageOf(argument))}`).join("");
  return page(`berkeley-${name}`, version, [
    section("NAME", `berkeley\\-${roff(name)} \\- ${roff(summary)}`),
    section("SYNOPSIS", `.B berkeley ${roff(name)}\n[\\fIOPTION\\fR...]${usage}`),
    section("DESCRIPTION", description.map(roff).join("\n.PP\n")),
    ...(args.length === 0
      ? []
      : [section("ARGUMENTS", args.map((argument) => tagged(italic(argument.name), argument.about)).join("\n"))]),
    section(
      "OPTIONS",
      [...Object.values(command.options), ...Object.values(COMMON_OPTIONS)]
        .map((spec) => tagged(flagsInRoff(spec.flags), optionText(spec)))
        .concat(tagged(flagsInRoff(HELP_FLAGS), "print help and end"))
        .join("\n"),
    ),
    section(
      "EXIT STATUS",
      [...EXIT_STATUS, ...(command.exitStatus ?? [])]
        .map(([status, about]) => tagged(`\\fB${status}\\fR`, about))
        .join("\n"),
    ),
    section(
      "EXAMPLES",
      examples.map(({ about, command: line }) => `${roff(about)}:\n.PP\n.EX\n    ${roff(line)}\n.EE`).join("\n.PP\n"),
    ),
    section("SEE ALSO", references(["berkeley(1)", ...seeAlso])),
  ]);
}

/** The page of the program: berkeley(1). */
export function manOfAll(commands: readonly CommandSummary[], version: string): string {
  return page("berkeley", version, [
    section("NAME", "berkeley \\- the sockets of this machine, from the command line"),
    section("SYNOPSIS", ".B berkeley\n\\fICOMMAND\\fR [\\fIOPTION\\fR...] [\\fIARGUMENT\\fR...]"),
    section(
      "DESCRIPTION",
      "Results go to standard output, notes and errors to standard error.\nEach command has a page of its own.",
    ),
    section("COMMANDS", commands.map(({ name, summary }) => tagged(`\\fB${roff(name)}\\fR`, summary)).join("\n")),
    section("EXIT STATUS", EXIT_STATUS.map(([status, about]) => tagged(`\\fB${status}\\fR`, about)).join("\n")),
    section(
      "ENVIRONMENT",
      tagged("\\fBNO_COLOR\\fR", "if it is set and not empty, the output has colors only with --color always"),
    ),
    section("SEE ALSO", references(commands.map(({ name }) => `berkeley-${name}(1)`))),
  ]);
}

/** A page, with its header `.TH`. */
function page(title: string, version: string, sections: readonly string[]): string {
  const header = `.TH ${roff(title).toUpperCase()} 1 "" "berkeley ${roff(version)}" "User Commands"`;
  return `${[header, ...sections].join("\n")}\n`;
}

const section = (title: string, body: string): string => `.SH ${title}\n${body}`;

/** A paragraph with a tag. The tag is in the language of roff already, and the text is not. */
const tagged = (tag: string, text: string): string => `.TP\n${tag}\n${roff(text)}`;

/** The usage of an argument, with its name in italics. */
const italic = (usage: string): string => usage.replace(/[A-Z][A-Z_-]*/g, (name) => `\\fI${roff(name)}\\fR`);

/** References to man pages, such as `ss(8)`. */
const references = (names: readonly string[]): string =>
  names
    .map((name, index) => {
      const [, word = name, number = ""] = /^(.*)(\(\w+\))$/.exec(name) ?? [];
      return `.BR ${roff(word)} ${number}${index < names.length - 1 ? " ," : ""}`;
    })
    .join("\n");

/** `-u, --udp` in bold, the name of a value in italics. */
function flagsInRoff(flags: string): string {
  return flags.replace(/--?[\w-]+|[A-Z][A-Z_=-]*/g, (word) =>
    word.startsWith("-") ? `\\fB${roff(word)}\\fR` : `\\fI${roff(word)}\\fR`,
  );
}

/** Escapes a text for roff. */
function roff(text: string): string {
  return text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replaceAll("~", "\\(ti")
    .replaceAll("^", "\\(ha")
    .replaceAll("`", "\\(ga")
    .replace(/^([.'])/gm, "\\&$1");
}
