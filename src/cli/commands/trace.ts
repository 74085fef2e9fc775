// The command `trace`: the routers on the way to a host.

import { type Command, define, flag, optionWithDefault } from "../frame/command.js";
import { duration, wholeNumber } from "../frame/values.js";

export const command: Command = define({
  name: "trace",
  summary: "the routers on the way to a host, without being root",
  description: [
    "Sends datagrams of UDP that may make one hop, two hops and so on. The router that drops a datagram reports that " +
      "by ICMP, and the kernel adds the report to the socket's error queue, which any user can read (ip(7), " +
      "IP_RECVERR).",
    "A line shows a hop: the address that answered, and the time of each answer; * is a probe without an answer. A " +
      "code after a time is the reason why a router has refused to forward.",
  ],
  arguments: [{ name: "HOST", about: "a name or an address; a name stands for its first address" }],
  options: {
    maxHops: optionWithDefault("-m, --max-hops N", "hops at most", wholeNumber(1, 255), 30),
    queries: optionWithDefault("-n, --queries N", "probes for each hop", wholeNumber(1, 10), 3),
    wait: optionWithDefault("-w, --wait TIME", "how long to wait for the answer to a probe", duration, 1000, "1s"),
    port: optionWithDefault(
      "-p, --port N",
      "port of the first probe; each further one adds 1",
      wholeNumber(1, 60_000),
      33_434,
    ),
    names: flag("--names", "look up the names of the routers"),
    inet4: flag("-4, --inet4", "only IPv4"),
    inet6: flag("-6, --inet6", "only IPv6"),
  },
  examples: [
    { about: "The way to a host", command: "berkeley trace example.org" },
    { about: "One probe a hop, with names", command: "berkeley trace -n 1 --names 192.168.1.1" },
  ],
  exitStatus: [["1", "the host has not answered"]],
  seeAlso: ["ip(7)", "traceroute(8)", "berkeley-ping(1)"],
  async run({ args: [host = ""], options, output, interrupts: { signal } }) {
    const [{ trace }, { hostOf, lookUp }, { hopLine, lookUpNames }, { SOCK_DGRAM }] = await Promise.all([
      import("../trace/probes.js"),
      import("../frame/hosts.js"),
      import("../trace/show.js"),
      import("berkeley"),
    ]);
    const { inet4, inet6, names } = options;
    const [target] = await lookUp(host, { inet4, inet6, type: SOCK_DGRAM, signal });
    const address = hostOf(target!);
    output.detail(`${host} is ${address}; ${options.maxHops} hops at most`);
    const outputClosed = new AbortController();
    output.onOutputClosed(() => outputClosed.abort());
    let reached = false;
    try {
      for await (const hop of trace(target!, { ...options, signal: AbortSignal.any([signal, outputClosed.signal]) })) {
        reached = hop.replies.some(({ from, isLast, error }) => {
          // A refusal by a router or by this machine ends the trace too, but has an error or no address.
          const isHost = from !== undefined && error === undefined;
          return isLast && isHost;
        });
        const nameByAddress = names ? await lookUpNames(hop, signal) : new Map<string, string>();
        const result = {
          hop: hop.ttl,
          replies: hop.replies.map((reply) => ({
            from: reply.from ?? null,
            name: nameByAddress.get(reply.from ?? ""),
            time: reply.time === undefined ? null : Number(reply.time.toFixed(3)),
            error: reply.error,
          })),
        };
        output.result(result, () => hopLine(hop, nameByAddress));
      }
    } catch (error) {
      output.throwIfClosed();
      throw error;
    }
    return reached ? 0 : 1;
  },
});
