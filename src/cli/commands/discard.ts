// The command `discard`: a server that discards received data (RFC 863).

import { type Command, define } from "../frame/command.js";
import { SERVER_OPTIONS, WHERE_TO_LISTEN } from "../servers/plan.js";

export const command: Command = define({
  name: "discard",
  summary: "a server that discards received data",
  description: [
    "Reads and drops all data of clients, and sends no answer (RFC 863). Use it for measurements. It prints a line " +
      "for each connection that has ended, and the totals at the end. Ctrl-C ends it with status 0.",
  ],
  arguments: [WHERE_TO_LISTEN],
  options: SERVER_OPTIONS,
  examples: [
    { about: "On port 9009 of the loopback interface", command: "berkeley discard 9009" },
    { about: "How fast a file is sent", command: "berkeley discard 9009 & berkeley connect 9009 < big.file" },
  ],
  seeAlso: ["berkeley-chargen(1)", "berkeley-echo(1)"],
  async run(invocation) {
    const { serve } = await import("../servers/serve.js");
    return serve(invocation, {
      async serve(client) {
        const buffer = Buffer.allocUnsafe(256 << 10);
        while ((await client.read(buffer)) > 0);
      },
      answer: () => undefined,
    });
  },
});
