// The command `completion`: prints the completions of this program for a shell.

import { COMMANDS } from "../commands.js";
import { type Command, define } from "../frame/command.js";
import { UsageError } from "../frame/failure.js";
import { completionFor, SHELLS } from "../frame/shells.js";
import { didYouMean } from "../frame/suggest.js";

export const command: Command = define({
  name: "completion",
  summary: "the completions of this program for a shell",
  description: [
    "Prints a program for bash, zsh or fish that completes the commands, their options and the words of values.",
  ],
  arguments: [{ name: "SHELL", about: "bash, zsh or fish", complete: SHELLS }],
  options: {},
  examples: [
    { about: "In the current bash", command: "source <(berkeley completion bash)" },
    { about: "In every new zsh", command: 'berkeley completion zsh > "${fpath[1]}/_berkeley"' },
    { about: "In every new fish", command: "berkeley completion fish > ~/.config/fish/completions/berkeley.fish" },
  ],
  async run({ args: [word = ""], output }) {
    const shell = SHELLS.find((name) => name === word);
    if (shell === undefined) {
      throw new UsageError(`SHELL is ${JSON.stringify(word)}, required bash, zsh or fish${didYouMean(word, SHELLS)}`);
    }
    const commands = await Promise.all(COMMANDS.map(async (entry) => (await entry.load()).command));
    const script = completionFor(shell, commands);
    output.result({ shell, script }, () => script.trimEnd());
    return 0;
  },
});
