// Shell completions, made from the descriptions of the commands: commands, options, and the words of values.

import { type Command, longOf, type OptionSpec, shortOf } from "./command.js";
import { COMMON_OPTIONS } from "./common.js";

export const SHELLS = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof SHELLS)[number];

export function completionFor(shell: Shell, commands: readonly Command[]): string {
  if (shell === "bash") return bash(commands);
  return shell === "zsh" ? zsh(commands) : fish(commands);
}

const optionsOf = (command: Command): OptionSpec[] => [
  ...Object.values(command.options),
  ...Object.values(COMMON_OPTIONS),
];

/** The short name, if there is one, and the long name. */
const namesOf = (spec: OptionSpec): string[] => [shortOf(spec), longOf(spec)].flatMap((name) => name ?? []);

/** Quotes a text for a shell. */
const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/** The words that a shell offers for a command's arguments, and whether it offers files. */
function wordsOfArguments(command: Command): { readonly words: readonly string[]; readonly files: boolean } {
  const completions = (command.arguments ?? []).map(({ complete }) => complete);
  const words = completions.flatMap((complete) => (complete === undefined || complete === "file" ? [] : complete));
  return { words, files: completions.includes("file") };
}

function bash(commands: readonly Command[]): string {
  const names = commands.map(({ name }) => name).join(" ");
  const cases = commands.map((command) => {
    const options = optionsOf(command);
    // After an option with a value, only its values are offered.
    const valueCases = options.flatMap((spec) => {
      const complete = spec.parser?.complete;
      if (spec.kind === "flag") return [];
      const reply =
        complete === "file"
          ? 'COMPREPLY=($(compgen -f -- "$cur"))'
          : `COMPREPLY=($(compgen -W ${quote((complete ?? []).join(" "))} -- "$cur"))`;
      return `        ${namesOf(spec).join("|")}) ${reply}; return ;;`;
    });
    const { words, files } = wordsOfArguments(command);
    const optionNames = [...options.flatMap(namesOf), "--help"].join(" ");
    return [
      `    ${command.name})`,
      '      case "$prev" in',
      ...valueCases,
      "      esac",
      `      if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W ${quote(optionNames)} -- "$cur"))`,
      `      else COMPREPLY=($(compgen ${files ? "-f " : ""}-W ${quote(words.join(" "))} -- "$cur")); fi ;;`,
    ].join("\n");
  });
  return `# bash completion for berkeley: source <(berkeley completion bash)
_berkeley() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" prev="\${COMP_WORDS[COMP_CWORD-1]}"
  COMPREPLY=()
  if [[ $COMP_CWORD -eq 1 ]]; then
    COMPREPLY=($(compgen -W ${quote(`${names} --help --version`)} -- "$cur"))
    return
  fi
  case "\${COMP_WORDS[1]}" in
${cases.join("\n")}
  esac
}
complete -o filenames -F _berkeley berkeley
`;
}

function zsh(commands: readonly Command[]): string {
  /** Escapes the characters that separate the parts of a specification of `_arguments`. */
  const escapeSeparators = (text: string): string => text.replace(/[[\]:\\]/g, (character) => `\\${character}`);
  /** The action of `_arguments` that offers words. A space is the action that offers nothing. */
  const wordsAction = (words: readonly string[]): string => (words.length === 0 ? " " : `(${words.join(" ")})`);
  const list = commands.map(({ name, summary }) => `    ${quote(`${name}:${summary.replaceAll(":", "\\:")}`)}`);
  const cases = commands.map((command) => {
    const specs = optionsOf(command).flatMap((spec) =>
      namesOf(spec).map((name) => {
        const complete = spec.parser?.complete;
        const action = complete === "file" ? "_files" : wordsAction(complete ?? []);
        const repeatable = spec.kind === "list" ? "*" : "";
        const value = spec.kind === "flag" ? "" : `:${escapeSeparators(spec.flags.split(" ").at(-1)!)}:${action}`;
        return quote(`${repeatable}${name}[${escapeSeparators(spec.about)}]${value}`);
      }),
    );
    const { words, files } = wordsOfArguments(command);
    const action = files ? "_files" : wordsAction(words);
    const allSpecs = [...specs, quote(`--help[print help]`), quote(`*:argument:${action}`)];
    return `    ${command.name})\n      _arguments -s \\\n        ${allSpecs.join(" \\\n        ")} ;;`;
  });
  return `#compdef berkeley
# zsh completion for berkeley: source <(berkeley completion zsh), or a file _berkeley in a folder of $fpath
_berkeley() {
  local -a commands
  commands=(
${list.join("\n")}
  )
  if (( CURRENT == 2 )); then
    _describe -t commands command commands
    return
  fi
  local name="\${words[2]}"
  shift words
  (( CURRENT-- ))
  case "$name" in
${cases.join("\n")}
  esac
}
if [[ "\${funcstack[1]}" == _berkeley ]]; then _berkeley "$@"; else compdef _berkeley berkeley; fi
`;
}

/** The flags of fish for an option. -r: the option has a value. -F: the value is a file. -x: the value is no file. */
function fishValue({ kind, parser }: OptionSpec): string {
  if (kind === "flag") return "";
  const complete = parser?.complete;
  if (complete === "file") return " -r -F";
  return complete === undefined ? " -x" : ` -x -a ${quote(complete.join(" "))}`;
}

function fish(commands: readonly Command[]): string {
  const lines = commands.flatMap((command) => {
    const condition = quote(`__fish_seen_subcommand_from ${command.name}`);
    const { words, files } = wordsOfArguments(command);
    return [
      `complete -c berkeley -n __fish_use_subcommand -a ${command.name} -d ${quote(command.summary)}`,
      ...(files ? [`complete -c berkeley -n ${condition} -F`] : []),
      ...(words.length === 0 ? [] : [`complete -c berkeley -n ${condition} -a ${quote(words.join(" "))}`]),
      ...optionsOf(command).map((spec) => {
        const short = shortOf(spec);
        const name = `-l ${longOf(spec).slice(2)}${short === undefined ? "" : ` -s ${short.slice(1)}`}`;
        return `complete -c berkeley -n ${condition} ${name}${fishValue(spec)} -d ${quote(spec.about)}`;
      }),
    ];
  });
  return (
    "# fish completion for berkeley: berkeley completion fish | source\ncomplete -c berkeley " +
    `-f\n${lines.join("\n")}\n`
  );
}
