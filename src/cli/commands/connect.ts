// The command `connect`: sends standard input to an endpoint, and prints received data.

import { type Command, define, option } from "../frame/command.js";
import { TLS_CLIENT_OPTIONS } from "../frame/tlsOptions.js";
import { text } from "../frame/values.js";
import { TALK_OPTIONS } from "../talk/options.js";

export const command: Command = define({
  name: "connect",
  summary: "sends standard input to an endpoint, and prints the answer on standard output",
  description: [
    "Connects, sends standard input, and prints received data. At the end of standard input the command half-closes " +
      "the connection, and prints the answer to its end. If the peer finishes first, standard input decides: a file " +
      "is sent to its end; a pipe is read until it has given no data for the time of --linger; a terminal is no " +
      "longer read.",
    "A file on standard input is sent by sendfile(2), except with TLS, datagrams, --crlf, --line or --hex. Received data is " +
      "written unchanged to a pipe or a file; on a terminal, control characters are shown as escapes.",
  ],
  arguments: [
    {
      name: "ENDPOINT",
      about:
        "where to connect: tcp://HOST:PORT, tls://HOST:PORT, udp://HOST:PORT, unix:PATH, unix:@NAME, " +
        "vsock://CID:PORT, fd:N; HOST:PORT is an endpoint of tcp, and a port alone is on 127.0.0.1",
    },
  ],
  options: {
    ...TALK_OPTIONS,
    source: option("-s, --source ADDRESS", "the address to connect from: HOST, HOST:PORT, :PORT or a path", text),
    via: option("--via URL", "a proxy: socks5://[USER:PASSWORD@]HOST:PORT, socks5h://…, http://… or https://…", text),
    ...TLS_CLIENT_OPTIONS,
  },
  examples: [
    {
      about: "A request to a web server",
      command: "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | berkeley connect localhost:80",
    },
    {
      about: "A line by TLS, through a proxy",
      command: "berkeley connect tls://example.org:443 --via socks5://localhost:1080",
    },
    { about: "A file to a server, with progress", command: "berkeley connect localhost:9000 < backup.tar" },
    { about: "A datagram, and its answer", command: "echo status | berkeley connect udp://localhost:9999 --linger 1s" },
    {
      about: "A message to a service of this machine",
      command: "echo hello | berkeley connect --datagram /run/log.sock",
    },
  ],
  seeAlso: ["berkeley-listen(1)", "berkeley-send(1)", "ncat(1)", "socat(1)"],
  async run({ args, options, output, interrupts }) {
    const [{ openChannel }, { readSource, readTarget }, { clientTls }, { StandardInput }] = await Promise.all([
      import("../talk/open.js"),
      import("../talk/target.js"),
      import("../frame/tlsOptions.js"),
      import("../talk/input.js"),
    ]);
    const { timeout, via, source } = options;
    const target = await readTarget(args[0] ?? "", options);
    const { signal } = interrupts;
    const tls = clientTls(options, target.secure);
    const channel = await openChannel({ ...target, tls, via, timeout, source: readSource(source), signal });
    output.detail(`connected to ${channel.name}`, { event: "connected", peer: channel.name });
    if (options.exec !== undefined) {
      const { execute } = await import("../talk/exec.js");
      await execute(options.exec, channel, signal);
      signal.throwIfAborted();
      return 0;
    }
    const input = new StandardInput();
    try {
      const { converse } = await import("../talk/converse.js");
      await converse({ channel, input, output, options, signal });
    } finally {
      input.close();
    }
    return 0;
  },
});
