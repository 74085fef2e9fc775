// The command `man`: prints a manual page.

import { COMMANDS } from "../commands.js";
import { type Command, define } from "../frame/command.js";
import { UsageError } from "../frame/failure.js";
import { didYouMean } from "../frame/suggest.js";

export const command: Command = define({
  name: "man",
  summary: "the manual page of a command",
  description: [
    "Prints a page in the language of man(7), for man(1) or mandoc(1). The package has these pages as files too, " +
      "which npm installs with a global installation.",
  ],
  arguments: [{ name: "COMMAND", about: "the command; without one the page of the whole program", optional: true }],
  options: {},
  examples: [
    { about: "To read the page of echo", command: "berkeley man echo | man -l -" },
    { about: "The page of the program as a file", command: "berkeley man > berkeley.1" },
  ],
  async run({ args: [word], output, version }) {
    const { manOf, manOfAll } = await import("../frame/manPage.js");
    const found = COMMANDS.find(({ name }) => name === word);
    if (word !== undefined && found === undefined) {
      const suggestion = didYouMean(
        word,
        COMMANDS.map(({ name }) => name),
      );
      throw new UsageError(`COMMAND is ${JSON.stringify(word)}, required the name of a command${suggestion}`);
    }
    const page = found === undefined ? manOfAll(COMMANDS, version) : manOf((await found.load()).command, version);
    output.result({ command: word ?? null, page }, () => page.trimEnd());
    return 0;
  },
});
