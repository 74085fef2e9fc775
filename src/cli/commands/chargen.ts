// The command `chargen`: a server that sends characters without end (RFC 864).

import { type Command, define } from "../frame/command.js";
import { SERVER_OPTIONS, WHERE_TO_LISTEN } from "../servers/plan.js";

export const command: Command = define({
  name: "chargen",
  summary: "a server that sends characters without end",
  description: [
    "Sends each client the lines of RFC 864 until the client closes the connection. A line has 72 characters, and " +
      "begins one character later in the pattern than the previous line. With UDP, the answer to a datagram is one " +
      "line. Data from clients is dropped.",
    "An answer can be larger than its request. So a UDP server that other machines reach can be misused for attacks " +
      "on third parties. The server listens on the loopback interface unless the endpoint has another address.",
  ],
  arguments: [WHERE_TO_LISTEN],
  options: SERVER_OPTIONS,
  examples: [
    { about: "On port 9019 of the loopback interface", command: "berkeley chargen 9019" },
    { about: "How fast data comes", command: "berkeley chargen 9019 & berkeley connect 9019 > /dev/null" },
  ],
  seeAlso: ["berkeley-discard(1)", "berkeley-echo(1)"],
  async run(invocation) {
    const { serve } = await import("../servers/serve.js");
    const pattern = makePattern();
    let nextLine = 0;
    return serve(invocation, {
      async serve(client) {
        const buffer = Buffer.allocUnsafe(16 << 10);
        // A property: for a local variable, TypeScript assumes that it is still false in the loop below.
        const reader = { ended: false };
        const reading = (async () => {
          // Without a timeout: --idle limits the writes, and a client need not send anything.
          while ((await client.read(buffer, {})) > 0);
        })().finally(() => (reader.ended = true));
        // A failed read sets `ended` too, so the loop below ends. The error of the read is ignored.
        reading.catch(() => undefined);
        try {
          while (!reader.ended) await client.write(pattern);
        } catch (error) {
          // A client ends the lines by closing its connection.
          if (!["EPIPE", "ECONNRESET"].includes((error as { code: string }).code)) throw error;
          // The server can end the connection only when no read is pending. After these errors the read ends too.
          await reading.catch(() => undefined);
        }
      },
      answer() {
        const at = (nextLine++ % CHARACTERS) * LINE_SIZE;
        return pattern.subarray(at, at + LINE_SIZE);
      },
    });
  },
});

/** The number of printing characters of ASCII, including the space. The pattern has a line that begins with each. */
const CHARACTERS = 95;
/** Bytes of a line: 72 characters, CR and LF. */
const LINE_SIZE = 74;

/** All lines of the pattern, eight times, so that one write sends many lines. */
function makePattern(): Buffer {
  const alphabet = Array.from({ length: CHARACTERS }, (_, index) => String.fromCharCode(0x20 + index)).join("");
  const twice = alphabet + alphabet;
  const all = Array.from({ length: CHARACTERS }, (_, index) => `${twice.slice(index, index + LINE_SIZE - 2)}\r\n`).join(
    "",
  );
  return Buffer.from(all.repeat(8));
}
