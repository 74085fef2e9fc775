// The command `bench`: load on a server, and its latencies.

import type { FileHandle } from "node:fs/promises";

import { type Command, define, flag, option, optionWithDefault } from "../frame/command.js";
import { UsageError } from "../frame/failure.js";
import { TLS_CLIENT_OPTIONS } from "../frame/tlsOptions.js";
import { choice, duration, file, size, text, wholeNumber } from "../frame/values.js";
import { MODES } from "../bench/modes.js";

export const command: Command = define({
  name: "bench",
  summary: "puts load on a server, and measures its rate and its latencies by percentile",
  description: [
    "Opens connections and runs turns on each of them. A turn is a message that the server sends back (mode echo), a " +
      "text with an answer up to --until (request), a connection that is closed at once (connect), or data that the " +
      "server only reads (bulk). With UDP the mode is echo, and a message is a datagram.",
    "Without --rate the loop is closed: a connection begins a turn when its previous turn has ended. A server that " +
      "stalls gets fewer turns, and the latencies do not contain the turns that the stall has prevented. With --rate " +
      "the loop is open: turns are due at fixed times, and a latency counts from the time when the turn was due. So " +
      "there is no coordinated omission.",
  ],
  arguments: [
    { name: "ENDPOINT", about: "the server: tcp://HOST:PORT, tls://HOST:PORT, udp://HOST:PORT or unix:PATH" },
  ],
  options: {
    mode: optionWithDefault("-m, --mode MODE", "echo, request, connect or bulk", choice(MODES), "echo"),
    connections: optionWithDefault("-c, --connections N", "connections at a time", wholeNumber(1, 10_000), 10),
    duration: optionWithDefault("-d, --duration TIME", "how long", duration, 5000, "5s"),
    rate: option("-r, --rate N", "turns in a second of all connections together: an open loop", wholeNumber(1, 1e6)),
    size: option("-s, --size SIZE", "bytes of a message (64; in the mode bulk 256KiB)", size),
    request: option("--request TEXT", "the text that the mode request sends, with \\n, \\r and \\xNN", text),
    until: optionWithDefault("--until TEXT", "the end of an answer in the mode request", text, "\\n"),
    timeout: optionWithDefault(
      "-w, --timeout TIME",
      "a datagram without an answer after this time is lost",
      duration,
      1000,
      "1s",
    ),
    udp: flag("-u, --udp", "datagrams of UDP; the same as the scheme udp://"),
    svg: option("--svg FILE", "write the latencies by percentile as a picture", file),
    ...TLS_CLIENT_OPTIONS,
  },
  examples: [
    { about: "An echo server, at full speed", command: "berkeley bench localhost:7777 -c 50 -d 10s" },
    { about: "Its latencies at a given load", command: "berkeley bench localhost:7777 --rate 5000 --svg latency.svg" },
    {
      about: "A server of HTTP",
      command:
        "berkeley bench localhost:8080 -m request --request 'HEAD / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n' --until " +
        "'\\r\\n\\r\\n'",
    },
    { about: "Connections a second", command: "berkeley bench localhost:7777 -m connect" },
  ],
  exitStatus: [["1", "a turn has failed, or none has ended"]],
  seeAlso: ["berkeley-echo(1)", "berkeley-sockets(1)"],
  async run({ args: [where = ""], options, output, interrupts: { signal } }) {
    const { mode, svg, request, connections, rate, timeout } = options;
    const [
      { defaultScheme, readEndpoint },
      { Load },
      { report, showLive },
      { clientTls },
      { parseEscapes },
      { plural },
    ] = await Promise.all([
      import("../frame/endpoints.js"),
      import("../bench/load.js"),
      import("../bench/report.js"),
      import("../frame/tlsOptions.js"),
      import("../talk/exchange.js"),
      import("../frame/units.js"),
    ]);
    const schemes = ["tcp", "tls", "udp", "unix", "vsock"] as const;
    const endpoint = readEndpoint(where, { scheme: defaultScheme(options), schemes });
    // The mode `request` requires --request, and the other modes refuse it.
    if ((request === undefined) === (mode === "request")) {
      throw new UsageError(`--mode ${mode} is given ${request === undefined ? "without" : "with"} --request`);
    }
    if (endpoint.scheme === "udp" && mode !== "echo") {
      throw new UsageError(`--mode is ${JSON.stringify(mode)} with an endpoint of udp, required echo`);
    }
    const { size: messageSize = mode === "bulk" ? 256 << 10 : 64 } = options;
    // A datagram begins with a number of 4 bytes. 65507 bytes is the maximum of UDP.
    if (endpoint.scheme === "udp" && (messageSize < 4 || messageSize > 65_507)) {
      throw new UsageError(`--size is ${messageSize} with an endpoint of udp, required 4 to 65507`);
    }
    const payload = request === undefined ? Buffer.alloc(messageSize, "a") : parseEscapes(request);
    const until = parseEscapes(options.until);
    const tls = clientTls(options, endpoint.scheme === "tls");
    const plan = {
      endpoint,
      mode,
      payload,
      until,
      timeout,
      tls,
      connections,
      rate,
      duration: options.duration,
      signal,
    };
    const onOpen = (): void => output.detail(`${plural(connections, "connection is", "connections are")} open`);
    const load = new Load(plan);
    // Opened before the run, so that the benchmark does not run if the file can't be written.
    const svgFile = svg === undefined ? undefined : await openFile(svg);
    const hideLive = showLive(output, load);
    try {
      await load.run(onOpen);
    } finally {
      hideLive();
    }
    report(output, plan, load);
    if (svgFile !== undefined) {
      const { toSvg } = await import("../bench/svg.js");
      await svgFile.writeFile(toSvg(load.latencies, `${where}: ${load.turns} turns, latency by percentile`));
      await svgFile.close();
    }
    signal.throwIfAborted();
    return load.turns > 0 && load.errors.size === 0 ? 0 : 1;
  },
});

async function openFile(path: string): Promise<FileHandle> {
  const { open } = await import("node:fs/promises");
  try {
    return await open(path, "w");
  } catch (error) {
    throw new UsageError(`--svg is ${JSON.stringify(path)}, which can't be written: ${(error as Error).message}`);
  }
}
