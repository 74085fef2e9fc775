// The command `scan`: which ports of a host accept connections.

import { type Command, define, flag, optionWithDefault } from "../frame/command.js";
import { UsageError } from "../frame/failure.js";
import { ports } from "../frame/ports.js";
import { duration, wholeNumber } from "../frame/values.js";

export const command: Command = define({
  name: "scan",
  summary: "tests which TCP ports of a host accept connections",
  description: [
    "Connects to each port and closes the connection. A port is open if it accepts the connection, and closed if it " +
      "refuses. It is filtered if no answer comes in time, or if a router or firewall answers in its place. " +
      "Open ports are printed, and with --all the others too.",
    "Scan only hosts that you may scan. An address that is neither loopback nor private requires --allow-public. " +
      "--rate and --parallel bound the load.",
  ],
  arguments: [
    { name: "HOST", about: "a name or an address; a name stands for its first address" },
    { name: "PORTS", about: "ports and ranges with commas, such as 22,80,8000-8100" },
  ],
  options: {
    rate: optionWithDefault("-r, --rate N", "connections that are begun in a second", wholeNumber(1, 10_000), 500),
    parallel: optionWithDefault("-p, --parallel N", "connections at a time", wholeNumber(1, 1000), 100),
    timeout: optionWithDefault(
      "-t, --timeout TIME",
      "a port without an answer after this time is filtered",
      duration,
      1000,
      "1s",
    ),
    all: flag("-a, --all", "print closed and filtered ports, too"),
    inet4: flag("-4, --inet4", "only IPv4"),
    inet6: flag("-6, --inet6", "only IPv6"),
    allowPublic: flag("--allow-public", "scan an address that belongs to no private network"),
  },
  examples: [
    { about: "The servers of this machine", command: "berkeley scan localhost 1-65535 --rate 10000" },
    {
      about: "Three ports of a host, one after the other",
      command: "berkeley scan 192.168.1.1 22,80,443 --all --parallel 1",
    },
  ],
  exitStatus: [["1", "no port is open"]],
  seeAlso: ["connect(2)", "services(5)", "berkeley-sockets(1)"],
  async run({ args: [host = "", list = ""], options, output, interrupts: { signal } }) {
    const [{ lookUp, hostOf }, { scan, isPrivate }, { ScanView }] = await Promise.all([
      import("../frame/hosts.js"),
      import("../scan/scan.js"),
      import("../scan/show.js"),
    ]);
    const portNumbers = readPorts(list);
    const { rate, parallel, timeout, all, inet4, inet6 } = options;
    const [address] = await lookUp(host, { inet4, inet6, signal });
    if (!isPrivate(address!) && !options.allowPublic) {
      throw new UsageError(
        `HOST is ${JSON.stringify(host)}, the public address ${address!.host}, required a private one or ` +
          "--allow-public",
      );
    }
    const view = new ScanView(output, portNumbers.length, { showAll: all });
    let isAnyOpen = false;
    try {
      const onResult = (result: Parameters<typeof view.add>[0]): void => {
        isAnyOpen ||= result.state === "open";
        view.add(result);
      };
      await scan(address!, { ports: portNumbers, rate, parallel, timeout, signal, onResult });
    } finally {
      view.end(hostOf(address!));
    }
    return isAnyOpen ? 0 : 1;
  },
});

/** Parses PORTS. Returns each port once. */
function readPorts(list: string): number[] {
  try {
    const found = new Set<number>();
    for (const [from, to] of ports(list)) for (let port = from; port <= to; port++) found.add(port);
    return [...found];
  } catch (error) {
    throw new UsageError(`PORTS is ${JSON.stringify(list)}, ${(error as Error).message}`);
  }
}
