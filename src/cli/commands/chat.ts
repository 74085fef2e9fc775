// The command `chat`: a server that sends each line of a client to all others.

import { type Command, define, flag, optionWithDefault } from "../frame/command.js";
import { size } from "../frame/values.js";
import { SERVER_OPTIONS, WHERE_TO_LISTEN } from "../servers/plan.js";

/** The options of other servers, without --udp: a chat has no datagrams. */
const { udp: _, ...options } = SERVER_OPTIONS;

export const command: Command = define({
  name: "chat",
  summary: "a server that sends each line of a client to all others",
  description: [
    "Each line of a client is sent to all other clients, after the name of the sender. The name is the address of " +
      'the client, or the name that the client sets with a line "/name NAME". The server resets a client that does ' +
      "not read fast enough, so that no other client waits. Control characters in lines are sent as escapes.",
  ],
  arguments: [WHERE_TO_LISTEN],
  options: {
    ...options,
    raw: flag("--raw", "send received bytes unchanged to all other clients, without names"),
    maxBacklog: optionWithDefault(
      "--max-backlog SIZE",
      "reset a client when more bytes wait for it",
      size,
      1 << 20,
      "1MiB",
    ),
  },
  examples: [
    { about: "On port 9090 of the loopback interface", command: "berkeley chat 9090" },
    { about: "To take part", command: "berkeley connect 9090" },
  ],
  seeAlso: ["berkeley-listen(1)", "berkeley-connect(1)"],
  async run(invocation) {
    const { serve } = await import("../servers/serve.js");
    const { Room } = await import("../servers/room.js");
    const { raw, maxBacklog } = invocation.options;
    const room = new Room(raw);
    return serve(
      { ...invocation, options: { ...invocation.options, udp: false } },
      { serve: (client) => room.join(client), maxOutbox: maxBacklog },
    );
  },
});
