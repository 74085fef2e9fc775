// The command `inspect`: runs a Node program with the inspector.

import { type Command, define, flag, option } from "../frame/command.js";
import { file, wholeNumber } from "../frame/values.js";

export const command: Command = define({
  name: "inspect",
  summary: "runs a program of Node with the inspector: a page that shows its sockets",
  description: [
    "Runs the command with NODE_OPTIONS set so that Node loads berkeley/inspect first: in the program, in its worker " +
      "threads, and in the programs of Node that it starts. Each process prints the address of its page on standard " +
      "error. The page is served on 127.0.0.1, and its address contains a random token.",
    "With --headless there is no page: the table of the sockets and its changes are written as JSON lines, about " +
      "once a second. With --json these lines are the standard output, and the output of the program goes to " +
      "standard error.",
    "Signals go to the program, and the exit status is that of the program. Write -- before the command.",
  ],
  arguments: [
    { name: "COMMAND", about: "the program, such as node" },
    { name: "ARG", about: "its arguments", optional: true, variadic: true },
  ],
  options: {
    port: option("-p, --port PORT", "the port of the page; a free one by default", wholeNumber(1, 65_535)),
    headless: flag("--headless", "no page: JSON lines, on standard error unless --output is given"),
    output: option("-o, --output FILE", "write the JSON lines to this file, without a page", file),
    payloads: flag("--payloads", "keep the first 256 bytes of the data of each call, for the page of a socket"),
    record: option(
      "-r, --record FILE",
      "write the data that the sockets send and receive to a capture in the format pcapng",
      file,
    ),
  },
  examples: [
    { about: "A page for a server", command: "berkeley inspect -- node server.js" },
    { about: "The same data for a program", command: "berkeley inspect --output sockets.jsonl -- node server.js" },
    {
      about: "A capture of the data of a client",
      command: "berkeley inspect --headless --record client.pcapng -- node client.js",
    },
  ],
  exitStatus: [
    ["N", "the status of the program, or 128 and the number of the signal that ended it"],
    ["127", "the program can't be started"],
  ],
  seeAlso: ["berkeley-replay(1)", "berkeley-sockets(1)", "node(1)", "tshark(1)"],
  async run({ args: [program = "", ...args], options, output }) {
    const { runInspected } = await import("../inspect/run.js");
    return runInspected({ program, args, ...options, json: output.json, note: (text) => output.note(text) });
  },
});
