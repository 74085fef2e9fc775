// The command `replay`: sends the client's side of a recorded conversation to an endpoint, and compares the answers.

import { type Command, define, option, optionWithDefault } from "../frame/command.js";
import { duration, wholeNumber } from "../frame/values.js";

export const command: Command = define({
  name: "replay",
  summary: "sends the client's side of a recorded conversation, and compares the answers",
  description: [
    "Reads a pcapng capture, for example one that berkeley inspect --record, berkeley proxy --record or tshark has " +
      "written. replay takes one connection of TCP, or the datagrams between two addresses of UDP. It connects " +
      "to the endpoint and sends the bytes that the client sent. After each of the client's messages, it waits for " +
      "as many bytes as the recorded answer has.",
    "The status is 0 if all answers are as recorded. At the first different byte, replay prints the offset and the " +
      "bytes, and ends with status 1.",
  ],
  arguments: [
    { name: "FILE", about: "the capture", complete: "file" },
    { name: "ENDPOINT", about: "where to connect: tcp://HOST:PORT, tls://HOST:PORT, udp://HOST:PORT or unix:PATH" },
  ],
  options: {
    stream: optionWithDefault(
      "-s, --stream N",
      "which conversation of the capture, from 0 on",
      wholeNumber(0, 1_000_000),
      0,
    ),
    timeout: option("-w, --timeout TIME", "give up on a connection or an answer after this time", duration),
  },
  examples: [
    { about: "A recorded client, sent again", command: "berkeley replay client.pcapng localhost:8080" },
    {
      about: "The third conversation, against another server",
      command: "berkeley replay all.pcapng localhost:8081 --stream 2",
    },
  ],
  exitStatus: [["1", "an answer is not as recorded, or the connection failed"]],
  seeAlso: ["berkeley-inspect(1)", "berkeley-proxy(1)", "tshark(1)"],
  async run({ args: [path = "", endpoint = ""], options, output, interrupts: { signal } }) {
    const { loadConversation, replay } = await import("../replay/replay.js");
    const conversation = loadConversation(path, options.stream);
    const { sent, received } = await replay(conversation, endpoint, { timeout: options.timeout, signal });
    const { client, server, protocol } = conversation;
    output.result(
      { event: "replayed", protocol, client, server, sent, received },
      () => `sent ${sent} bytes and received ${received}, all as recorded between ${client} and ${server}`,
    );
    return 0;
  },
});
