// The command `options`: the options of a socket, with their values.

import { type Command, define, flag, option } from "../frame/command.js";
import { UsageError } from "../frame/failure.js";
import { duration } from "../frame/values.js";

export const command: Command = define({
  name: "options",
  summary: "every option of one kind of socket, its value and its man page",
  description: [
    "Makes a socket of the endpoint's kind and prints each of its options, with the value that the kernel has for " +
      "it. The socket is not connected, unless --connect is given. fd:N is a socket that the program has inherited.",
    "If getsockopt(2) fails, its error code is in place of the value: ENOTCONN for an option that only a " +
      "connection has, EPERM for one that requires a privilege. Options that sockets of this kind do not have, " +
      "or that can't be read, are left out.",
  ],
  arguments: [
    {
      name: "ENDPOINT",
      about:
        "the kind of socket: tcp://HOST:PORT, udp://HOST:PORT, unix:PATH, vsock://CID:PORT or fd:N; a port alone " +
        "is on 127.0.0.1",
    },
    { name: "NAME", about: "only these options", optional: true, variadic: true },
  ],
  options: {
    connect: flag("-c, --connect", "connect first, and show the options of the connection"),
    timeout: option("-t, --timeout TIME", "give up connecting after this time", duration),
    udp: flag("-u, --udp", "datagrams of UDP; the same as the scheme udp://"),
    datagram: flag("--datagram", "a UNIX socket of datagrams (SOCK_DGRAM)"),
    seqpacket: flag("--seqpacket", "a UNIX socket of messages in order (SOCK_SEQPACKET)"),
    all: flag("-a, --all", "all options, also those that sockets of this kind do not have"),
  },
  examples: [
    { about: "The options of a TCP socket", command: "berkeley options tcp://127.0.0.1:0" },
    { about: "What a connection has", command: "berkeley options localhost:22 --connect TCP_INFO TCP_MAXSEG IP_MTU" },
    { about: "A socket that the shell has opened", command: "berkeley options fd:3 3<>/dev/tcp/localhost/22" },
  ],
  seeAlso: ["getsockopt(2)", "socket(7)", "tcp(7)", "ip(7)", "berkeley-sockets(1)"],
  async run({ args: [text = "", ...names], options, output, interrupts: { signal } }) {
    const [{ readEndpoint }, { openSocket, kindOf }, { readOptions, isSupported, valueText }, { checkNames }] =
      await Promise.all([
        import("../frame/endpoints.js"),
        import("../options/open.js"),
        import("../options/read.js"),
        import("../options/names.js"),
      ]);
    const endpoint = readEndpoint(text, { scheme: options.udp ? "udp" : "tcp" });
    await checkNames(names);
    if ((options.datagram || options.seqpacket) && endpoint.scheme !== "unix") {
      throw new UsageError(`--${options.datagram ? "datagram" : "seqpacket"} is given without a UNIX socket`);
    }
    const datagramType = options.datagram ? "datagram" : undefined;
    const messageType = options.seqpacket ? "seqpacket" : datagramType;
    const { connect, timeout, all } = options;
    const socket = await openSocket(endpoint, { messageType, connect, timeout, signal });
    try {
      const rows = (await readOptions(socket)).filter((row) =>
        names.length > 0 ? names.includes(row.name) : all || isSupported(row),
      );
      output.detail(`${kindOf(socket)} socket`);
      const nameWidth = Math.max(...rows.map(({ name }) => name.length));
      // At most 24 columns, because objects can be much longer than the other values.
      const valueWidth = Math.min(24, Math.max(...rows.map((row) => valueText(row).length)));
      for (const row of rows) {
        output.result(row, () => {
          const value = valueText(row);
          const shown = output.style(row.error === undefined ? "cyan" : "dim", value);
          // The colors in `shown` have no width, so the padding is computed from `value`.
          const padding = " ".repeat(Math.max(0, valueWidth - value.length));
          return `${row.name.padEnd(nameWidth)}  ${shown}${padding}  ${output.style("dim", row.source)}`;
        });
      }
      return 0;
    } finally {
      // This command has not opened an inherited descriptor, so it leaves the descriptor open.
      if (endpoint.scheme === "fd") socket.detach();
      else socket.close();
    }
  },
});
