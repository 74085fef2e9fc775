// The command `echo`: a server that sends received data back (RFC 862).

import { type Command, define } from "../frame/command.js";
import { SERVER_OPTIONS, WHERE_TO_LISTEN } from "../servers/plan.js";

export const command: Command = define({
  name: "echo",
  summary: "a server that sends received data back",
  description: [
    "Sends each byte back to the client that sent it, and with UDP each datagram (RFC 862). It prints a line for " +
      "each connection that has ended, and the totals at the end. Ctrl-C ends it with status 0.",
  ],
  arguments: [WHERE_TO_LISTEN],
  options: SERVER_OPTIONS,
  examples: [
    { about: "On port 7777 of the loopback interface", command: "berkeley echo 7777" },
    { about: "Datagrams, on a port that the kernel chooses", command: "berkeley echo udp://127.0.0.1:0" },
    { about: "TLS, on every interface", command: "berkeley echo 'tls://*:8443' --cert cert.pem --key key.pem" },
  ],
  seeAlso: ["berkeley-discard(1)", "berkeley-chargen(1)", "berkeley-bench(1)"],
  async run(invocation) {
    const { serve } = await import("../servers/serve.js");
    return serve(invocation, {
      async serve(client) {
        const buffer = Buffer.allocUnsafe(256 << 10);
        for (;;) {
          const length = await client.read(buffer);
          if (length === 0) return;
          await client.write(buffer.subarray(0, length));
        }
      },
      answer: (data) => data,
    });
  },
});
