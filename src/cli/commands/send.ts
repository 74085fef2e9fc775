// The command `send`: one message, one answer.

import { type Command, define, flag, option, optionWithDefault } from "../frame/command.js";
import { UsageError } from "../frame/failure.js";
import { TLS_CLIENT_OPTIONS } from "../frame/tlsOptions.js";
import { duration, file, size, text } from "../frame/values.js";
import { TALK_OPTIONS } from "../talk/options.js";

const { udp, datagram, seqpacket, hex, option: socketOption } = TALK_OPTIONS;

export const command: Command = define({
  name: "send",
  summary: "sends one message and prints one answer",
  description: [
    "Sends the message and prints the answer: with datagrams the first datagram, otherwise all data up to the peer's " +
      "end, or with --line the first line. Without MESSAGE, the message is read from standard input. If there is no " +
      "answer within the time of --timeout, the status is 1.",
  ],
  arguments: [
    { name: "ENDPOINT", about: "where to send, as with connect" },
    {
      name: "MESSAGE",
      about: "the message; \\n, \\r, \\t, \\\\, \\0 and \\xNN stand for characters and bytes",
      optional: true,
    },
  ],
  options: {
    udp,
    datagram,
    seqpacket,
    hex,
    file: option("-f, --file FILE", "send this file", file),
    newline: flag("-n, --newline", "add a line feed to the message"),
    line: flag("--line", "the answer is one line"),
    noAnswer: flag("--no-answer", "end when the message is sent"),
    timeout: optionWithDefault(
      "-w, --timeout TIME",
      "give up when there is no connection or no answer after this time",
      duration,
      5000,
      "5s",
    ),
    max: optionWithDefault("--max SIZE", "bytes of an answer at most", size, 64 << 20, "64MiB"),
    source: option("-s, --source ADDRESS", "the address to send from: HOST, HOST:PORT, :PORT or a path", text),
    via: option("--via URL", "a proxy: socks5://HOST:PORT or http://HOST:PORT", text),
    option: socketOption,
    ...TLS_CLIENT_OPTIONS,
  },
  examples: [
    { about: "A question to a text protocol", command: "berkeley send localhost:6379 'PING\\r\\n' --line" },
    { about: "A datagram to a service", command: "berkeley send udp://localhost:9999 status" },
    {
      about: "A request that ends with the connection",
      command: "berkeley send localhost:80 'GET / HTTP/1.0\\r\\n\\r\\n'",
    },
  ],
  seeAlso: ["berkeley-connect(1)"],
  async run({ args: [endpoint = "", message], options, output, interrupts }) {
    const [{ openChannel }, { readSource, readTarget }, { clientTls, loadFile }, { exchange, parseEscapes }] =
      await Promise.all([
        import("../talk/open.js"),
        import("../talk/target.js"),
        import("../frame/tlsOptions.js"),
        import("../talk/exchange.js"),
      ]);
    const { timeout, via, source, line, max, noAnswer, newline } = options;
    if (message !== undefined && options.file !== undefined)
      throw new UsageError("MESSAGE and --file are given together");
    const target = await readTarget(endpoint, options);
    const fileBytes = options.file === undefined ? undefined : loadFile("--file", options.file);
    const bytes = fileBytes ?? (message === undefined ? await readStandardInput() : parseEscapes(message));
    const { signal } = interrupts;
    const tls = clientTls(options, target.secure);
    const channel = await openChannel({ ...target, tls, via, timeout, source: readSource(source), signal });
    const data = newline ? Buffer.concat([bytes, Buffer.from("\n")]) : bytes;
    const answer = await exchange(channel, data, { line, max, noAnswer, signal, timeout });
    if (noAnswer) {
      output.detail(`sent ${data.length} bytes to ${channel.name}`, {
        event: "sent",
        peer: channel.name,
        sent: data.length,
      });
      return 0;
    }
    const { dataField, HexDump } = await import("../talk/text.js");
    if (output.json)
      output.object({
        event: "answer",
        peer: channel.name,
        sent: data.length,
        received: answer.length,
        ...dataField(answer),
      });
    else if (options.hex) for (const row of new HexDump("<").rows(answer)) output.line(row);
    else await output.data(answer);
    await output.endOfData();
    return 0;
  },
});

async function readStandardInput(): Promise<Buffer> {
  const { StandardInput } = await import("../talk/input.js");
  const input = new StandardInput();
  const chunks: Buffer[] = [];
  // Copied, because the input reuses its buffer.
  for (let chunk = await input.read(); chunk !== null; chunk = await input.read()) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}
