// The command `ping`: ICMP echo requests to hosts.

import { type Command, define, flag, option, optionWithDefault } from "../frame/command.js";
import { UsageError } from "../frame/failure.js";
import { duration, wholeNumber } from "../frame/values.js";

export const command: Command = define({
  name: "ping",
  summary: "measures the round-trip time to hosts",
  description: [
    "Sends ICMP echo requests and prints each answer, and the statistics of each host at the end or after Ctrl-C. " +
      "Several hosts are pinged at the same time.",
    "It uses an ICMP datagram socket, which Linux allows for the groups of the sysctl net.ipv4.ping_group_range. " +
      "Otherwise it uses a raw socket, which requires root.",
  ],
  arguments: [{ name: "HOST", about: "names and addresses of IPv4 and IPv6", variadic: true }],
  options: {
    count: option("-c, --count N", "requests to each host; without it there is no end", wholeNumber(1, 1e9)),
    interval: optionWithDefault("-i, --interval TIME", "the time from one request to the next", duration, 1000, "1s"),
    wait: optionWithDefault(
      "-W, --wait TIME",
      "a request without an answer after this time is lost",
      duration,
      2000,
      "2s",
    ),
    size: optionWithDefault("-s, --size N", "bytes of data in a request", wholeNumber(0, 65_507), 56),
    ttl: option("-t, --ttl N", "hops that a request may make", wholeNumber(1, 255)),
    inet4: flag("-4, --inet4", "only IPv4"),
    inet6: flag("-6, --inet6", "only IPv6"),
  },
  examples: [
    { about: "Whether a host answers", command: "berkeley ping -c 3 localhost" },
    { about: "Two hosts, five times a second", command: "berkeley ping -i 200ms 192.168.1.1 ::1" },
    {
      about: "The average of ten",
      command: "berkeley ping -c 10 localhost --json | jq 'select(.event == \"statistics\").avg'",
    },
  ],
  exitStatus: [
    ["0", "every host has answered, also after Ctrl-C"],
    ["1", "a host has not answered"],
  ],
  seeAlso: ["icmp(7)", "ping(8)", "berkeley-trace(1)"],
  async run({ args, options, output, interrupts: { signal } }) {
    const { pingHost } = await import("../ping/show.js");
    if (options.interval === 0) throw new UsageError("--interval is 0, required a time of at least 1ms");
    const { count = Infinity } = options;
    const outputClosed = new AbortController();
    const ending = AbortSignal.any([signal, outputClosed.signal]);
    output.onOutputClosed(() => outputClosed.abort());
    const results = await Promise.all(
      args.map((host) => pingHost(host, { ...options, count, output, several: args.length > 1, signal: ending })),
    );
    output.throwIfClosed();
    return results.every((answered) => answered) ? 0 : 1;
  },
});
