// The command `resolve`: the addresses of a name, in the order in which connect() tries them.

import { type Command, define, flag } from "../frame/command.js";

export const command: Command = define({
  name: "resolve",
  summary: "the addresses of a name in the order in which connect tries them, with the reason",
  description: [
    "Looks up the name as connect does, and prints the addresses in the order of the attempts. The resolver sorts " +
      "the addresses of both families by RFC 6724; then the families take turns (RFC 8305), and an attempt begins " +
      "when the one before it has failed or 250 ms after it.",
    "The source is the address that this machine would send from. Rules of RFC 6724 are explained with its default " +
      "table; gai.conf(5) may have another table.",
  ],
  arguments: [{ name: "NAME", about: "a host" }],
  options: {
    inet4: flag("-4, --inet4", "only addresses of IPv4"),
    inet6: flag("-6, --inet6", "only addresses of IPv6"),
  },
  examples: [
    { about: "Both families of this machine's name", command: "berkeley resolve localhost" },
    {
      about: "The address that is tried first",
      command: "berkeley resolve example.org --json | head -1 | jq -r .address",
    },
  ],
  seeAlso: ["getaddrinfo(3)", "gai.conf(5)", "hosts(5)", "berkeley-connect(1)"],
  async run({ args: [name = ""], options, output, interrupts: { signal } }) {
    const [{ lookUp }, { orderAddresses }, { isIP }, { formatTime }] = await Promise.all([
      import("../frame/hosts.js"),
      import("../resolve/order.js"),
      import("node:net"),
      import("../frame/units.js"),
    ]);
    const { inet4, inet6 } = options;
    const found = await lookUp(name, { name: "NAME", inet4, inet6, signal });
    // Without brackets and the zone of an IPv6 address.
    const isLiteral = isIP(name.replace(/^\[|\]$|%.*$/g, "")) !== 0;
    const answers = await orderAddresses(found, { isLiteral });
    const width = Math.max(...answers.map(({ address }) => address.length));
    for (const answer of answers) {
      output.result(answer, () => {
        const { attempt, address, after, source, error, reason } = answer;
        let when = "never";
        if (after === 0) when = "at once";
        else if (after !== null) when = `+${formatTime(after)}`;
        const from = source === null ? `no route: ${error ?? "no source address"}` : `from ${source}`;
        const number = attempt === null ? "-" : String(attempt);
        return (
          `${number.padStart(2)}  ${output.style("bold", address.padEnd(width))}  ${when.padEnd(8)}  ` +
          `${from}; ${reason}`
        );
      });
    }
    return 0;
  },
});
