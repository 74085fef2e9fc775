// The command `file`: a file from one machine to another, by sendfile(2).

import { type Command, define, flag, option, optionWithDefault } from "../frame/command.js";
import { UsageError } from "../frame/failure.js";
import { didYouMean } from "../frame/suggest.js";
import { TLS_CLIENT_OPTIONS } from "../frame/tlsOptions.js";
import { duration } from "../frame/values.js";

const ACTIONS = ["send", "receive"] as const;

export const command: Command = define({
  name: "file",
  summary: "sends a file or receives one, with its size and checksum",
  description: [
    "`file send FILE ENDPOINT` connects and sends the file by sendfile(2); `file receive ENDPOINT FILE` listens and " +
      "writes the received file. With --listen the sender listens, and with --connect the receiver connects.",
    "The sender sends a line with the size and the name, then the bytes, then their SHA-256. The receiver answers " +
      "when the bytes are on its disk. So both sides report whether the whole file has arrived. The receiver writes " +
      "to a new file in the same folder and renames it at the end. So an incomplete file does not replace another " +
      "file.",
    "With --raw only the bytes are sent, for peers such as netcat.",
  ],
  arguments: [
    { name: "ACTION", about: "send or receive", complete: ACTIONS },
    { name: "FROM", about: "the file for send, the endpoint for receive", complete: "file" },
    {
      name: "TO",
      about: "the endpoint for send, the file or folder for receive; default: the current folder",
      optional: true,
      complete: "file",
    },
  ],
  options: {
    listen: flag("--listen", "with send: listen, and send to the first peer that connects"),
    connect: flag("--connect", "with receive: connect to a sender that listens"),
    raw: flag("--raw", "only the bytes of the file, without size, name and checksum"),
    force: flag("--force", "replace a file that exists"),
    timeout: optionWithDefault(
      "-w, --timeout TIME",
      "give up when there is no connection after this time",
      duration,
      60_000,
      "1m",
    ),
    idle: option("-i, --idle TIME", "give up after this time without data", duration),
    ...TLS_CLIENT_OPTIONS,
  },
  examples: [
    { about: "On the machine that gets the file", command: "berkeley file receive '*:9000' downloads/" },
    { about: "On the machine that has the file", command: "berkeley file send backup.tar receiver.example:9000" },
    { about: "From netcat", command: "berkeley file receive 9000 notes.txt --raw" },
  ],
  seeAlso: ["sendfile(2)", "berkeley-connect(1)"],
  async run({ args: [actionText = "", from = "", to], options, output, interrupts }) {
    const action = ACTIONS.find((name) => name === actionText);
    if (action === undefined) {
      throw new UsageError(
        `ACTION is ${JSON.stringify(actionText)}, required send or receive${didYouMean(actionText, ACTIONS)}`,
      );
    }
    if (action === "send" && to === undefined) throw new UsageError("TO is missing: where to send the file");
    if (action === "send" && options.connect)
      throw new UsageError("--connect is given with send, required --listen or neither");
    if (action === "receive" && options.listen)
      throw new UsageError("--listen is given with receive, required --connect or neither");
    const { openConnection } = await import("../files/connection.js");
    const { receiveFile, sendFile } = await import("../files/transfer.js");
    const { signal } = interrupts;
    // Without an option the sender connects, and the receiver listens.
    const listens = action === "send" ? options.listen : !options.connect;
    const endpoint = action === "send" ? to! : from;
    const plan = { output, signal, raw: options.raw, force: options.force, idle: options.idle };
    const openStream = () => openConnection({ endpoint, listens, output, signal, options });
    if (action === "send") await sendFile(from, openStream, plan);
    else await receiveFile(to ?? ".", openStream, plan);
    return 0;
  },
});
