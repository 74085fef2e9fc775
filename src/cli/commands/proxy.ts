// The command `proxy`: forwards an endpoint to another one, and can record or slow down the data.

import { randomInt } from "node:crypto";

import { type Command, define, flag, list, option, optionWithDefault } from "../frame/command.js";
import { UsageError } from "../frame/failure.js";
import { TLS_SERVER_OPTIONS } from "../frame/tlsOptions.js";
import { duration, file, fraction, size, text, wholeNumber } from "../frame/values.js";
import { WHERE_TO_LISTEN } from "../servers/plan.js";

export const command: Command = define({
  name: "proxy",
  summary: "passes connections or datagrams on to a target, records them and slows them down",
  description: [
    "Listens, connects to the target for each client, and forwards the data in both directions. It prints a " +
      "line for each connection that has ended, and the totals at the end. Ctrl-C ends it with status 0. Without " +
      "options the kernel moves the bytes.",
    "With --record, the bytes of each client are written as a capture that Wireshark and tshark read: packets with " +
      "the real addresses of client and proxy, made from the bytes. Data that --tls decrypts is recorded as plain " +
      "text. If a write to the file fails, the file ends with the last whole packet, no further connection is " +
      "accepted, and the status is 1.",
  ],
  arguments: [
    { ...WHERE_TO_LISTEN, name: "LISTEN" },
    {
      name: "TARGET",
      about: "where to connect: tcp://HOST:PORT, tls://HOST:PORT, udp://HOST:PORT, unix:PATH, vsock://CID:PORT",
    },
  ],
  options: {
    udp: flag("-u, --udp", "datagrams of UDP, the same as the scheme udp:// for LISTEN and TARGET"),
    record: option("-r, --record FILE", "write the forwarded data to a capture in the format pcapng", file),
    latency: optionWithDefault(
      "--latency TIME",
      "delay each byte by this time, in each direction",
      duration,
      0,
      "none",
    ),
    rate: option("--rate SIZE", "forward at most this many bytes a second, in each direction", size),
    drop: optionWithDefault("--drop PART", "drop this part of the datagrams, such as 0.05 or 5%", fraction, 0, "none"),
    seed: option("--seed N", "make --drop choose the same datagrams each time", wholeNumber(1, 0xffff_ffff)),
    proxyProtocol: flag("--proxy-protocol", "send the target the header of the PROXY protocol, version 1"),
    via: option("--via URL", "reach the target through a proxy: socks5://HOST:PORT or http://HOST:PORT", text),
    timeout: optionWithDefault("-w, --timeout TIME", "give up on the target after this time", duration, 10_000, "10s"),
    idle: option(
      "-i, --idle TIME",
      "close a connection, or the socket of a sender of datagrams (60s), after this time without data",
      duration,
    ),
    max: optionWithDefault(
      "-m, --max N",
      "connections, or senders of datagrams, at a time",
      wholeNumber(1, 100_000),
      1000,
    ),
    count: option("--count N", "end after this number of connections", wholeNumber(1, 1e9)),
    ...TLS_SERVER_OPTIONS,
    targetCa: list("--target-ca FILE", "trust only the authorities in this file for a target of tls://", file),
    insecure: flag("--insecure", "do not verify the certificate of a target of tls://"),
  },
  examples: [
    { about: "A port to a server, with a capture", command: "berkeley proxy 8080 localhost:80 --record web.pcapng" },
    { about: "A slow network", command: "berkeley proxy 8080 localhost:80 --latency 100ms --rate 128KiB" },
    {
      about: "TLS in front of a UNIX socket",
      command: "berkeley proxy 'tls://*:443' unix:/run/app.sock --cert c.pem --key k.pem",
    },
    {
      about: "A lossy network for datagrams",
      command: "berkeley proxy udp://127.0.0.1:5300 udp://localhost:53 --drop 10%",
    },
  ],
  exitStatus: [["1", "also when the file of --record could not be written to its end"]],
  seeAlso: ["berkeley-connect(1)", "tshark(1)", "tc-netem(8)"],
  async run({ args: [listenAt = "", target = ""], options, output, interrupts, version }) {
    const [{ readEndpoint }, { clientTls, serverTls }, { Recorder }, { FlowCounts }] = await Promise.all([
      import("../frame/endpoints.js"),
      import("../frame/tlsOptions.js"),
      import("../proxy/recorder.js"),
      import("../proxy/plan.js"),
    ]);
    const { udp, tls, drop, proxyProtocol, via, record, latency, rate, idle, max, count, timeout } = options;
    const scheme = udp ? "udp" : "tcp";
    const listenEndpoint = readEndpoint(listenAt, { name: "LISTEN", scheme: tls ? "tls" : scheme });
    const from =
      tls && listenEndpoint.scheme === "tcp" ? ({ ...listenEndpoint, scheme: "tls" } as const) : listenEndpoint;
    const to = readEndpoint(target, { name: "TARGET", scheme, schemes: ["tcp", "tls", "udp", "unix", "vsock"] });
    if ((from.scheme === "udp") !== (to.scheme === "udp")) {
      throw new UsageError(
        `LISTEN is ${JSON.stringify(listenAt)} and TARGET ${JSON.stringify(target)}, required udp for both or for ` +
          "neither",
      );
    }
    const isUdp = from.scheme === "udp";
    if (!isUdp && drop > 0) throw new UsageError("--drop is given with streams, required datagrams");
    if (isUdp && (proxyProtocol || via !== undefined)) {
      throw new UsageError(`${proxyProtocol ? "--proxy-protocol" : "--via"} is given with datagrams, required streams`);
    }
    if (tls && from.scheme !== "tls")
      throw new UsageError(`--tls is given with an endpoint of ${from.scheme}, required tcp or tls`);
    const isTargetTls = to.scheme === "tls";
    if (!isTargetTls && (options.targetCa.length > 0 || options.insecure)) {
      const name = options.insecure ? "--insecure" : "--target-ca";
      throw new UsageError(`${name} is given with a target of ${to.scheme}, required one of tls`);
    }
    // The options of TLS for the connections to the target. --cert, --key and the others are for the listener.
    const targetTlsOptions = {
      tls: false,
      ca: options.targetCa,
      cert: undefined,
      key: undefined,
      alpn: [],
      allowTruncation: false,
      insecure: options.insecure,
    };
    // See ProxyPlan: `draining` closes the listener, and `ending` ends the proxy.
    const draining = new AbortController();
    const ending = new AbortController();
    let recordError: Error | undefined;
    const onRecordFailure = (error: Error): void => {
      recordError = error;
      draining.abort(error);
    };
    const stop = (): void => ending.abort(new Error("the proxy has ended"));
    interrupts.onStop(stop);
    output.onOutputClosed(stop);
    const about = `berkeley proxy ${listenAt} ${target}`;
    const plan = {
      from,
      to,
      target,
      output,
      latency,
      rate,
      drop,
      proxyProtocol,
      via,
      idle,
      max,
      count,
      timeout,
      serverTls: await serverTls(options, from.scheme === "tls", output),
      clientTls: clientTls(targetTlsOptions, isTargetTls),
      seed: options.seed ?? randomInt(1, 0xffff_ffff),
      recorder: record === undefined ? undefined : new Recorder(record, about, version, onRecordFailure),
      signal: ending.signal,
      draining: draining.signal,
      flowCounts: new FlowCounts(output, target, isUdp ? "client" : "connection"),
    };
    try {
      if (isUdp) {
        const { proxyDatagrams } = await import("../proxy/datagrams.js");
        await proxyDatagrams(plan);
      } else {
        const { proxyStreams } = await import("../proxy/streams.js");
        await proxyStreams(plan);
      }
    } finally {
      plan.recorder?.close();
    }
    plan.flowCounts.printTotals();
    if (recordError !== undefined) throw recordError;
    return 0;
  },
});
