// The command `sockets`: this machine's sockets, as the kernel describes them.

import { type Command, define, flag, list, option, optionWithDefault } from "../frame/command.js";
import { ports } from "../frame/ports.js";
import { duration, text } from "../frame/values.js";
import { ALL_STATES, stateMask } from "../diag/filter.js";
import { KINDS } from "../diag/socketInfo.js";

export const command: Command = define({
  name: "sockets",
  summary: "this machine's sockets: states, queues, timers, TCP_INFO, processes",
  description: [
    "Reads the sockets of this network namespace by sock_diag(7) and prints a line for each, and with --info a line " +
      "of details below it: the timer, TCP_INFO and the memory. --json always has the details. Without -t, -u, -w or " +
      "-x it shows sockets of TCP and UDP.",
    "Recv-Q has the bytes that the program has not read, and Send-Q the bytes that the peer has not acknowledged, or " +
      "with UDP and UNIX the bytes in the send buffer. " +
      "For a listener they have the number of connections in the accept queue, and its limit. Only root can see the " +
      "processes of other users.",
  ],
  options: {
    tcp: flag("-t, --tcp", "sockets of TCP"),
    udp: flag("-u, --udp", "sockets of UDP"),
    raw: flag("-w, --raw", "raw sockets"),
    unix: flag("-x, --unix", "UNIX sockets"),
    info: flag("-i, --info", "a line of details below each socket"),
    states: optionWithDefault(
      "-s, --state STATE",
      "only these states, with commas: established, listen, time-wait and others, connected, synchronized",
      stateMask,
      ALL_STATES,
      "all",
    ),
    ports: list("-p, --port PORTS", "only sockets with one of these ports on either side, such as 22,8000-8100", ports),
    processes: list("--process NAME", "only sockets of processes of this name, or this number", text),
    noHeader: flag("-H, --no-header", "no line with the names of the columns"),
    watch: option("--watch TIME", "print the sockets again and again with pauses of this time, until Ctrl-C", duration),
  },
  examples: [
    { about: "All listeners", command: "berkeley sockets --state listen" },
    {
      about: "The connections of a port, with round-trip times and windows",
      command: "berkeley sockets -t -i --port 443",
    },
    { about: "The sockets of a program, each second", command: "berkeley sockets --process node --watch 1s" },
    { about: "Bytes that wait to be sent, by jq", command: "berkeley sockets -t --json | jq .sendQueue" },
  ],
  exitStatus: [["0", "with --watch, also after Ctrl-C"]],
  seeAlso: ["ss(8)", "sock_diag(7)", "tcp(7)", "berkeley-options(1)"],
  async run({ options, output, interrupts }) {
    const [{ listSockets }, { showTable }] = await Promise.all([import("../diag/list.js"), import("../diag/show.js")]);
    const { signal } = interrupts;
    const chosenKinds = KINDS.filter((kind) => options[kind]);
    const query = {
      kinds: chosenKinds.length === 0 ? (["tcp", "udp"] as const) : chosenKinds,
      states: options.states,
      ports: options.ports.flat(),
      processes: options.processes,
    };
    const show = async (): Promise<void> => {
      const found = await listSockets(query, signal);
      if (!output.json) return showTable(output, found, { details: options.info, header: !options.noHeader });
      for (const socket of found) output.object(options.watch === undefined ? socket : { time: Date.now(), ...socket });
    };
    if (options.watch === undefined) {
      await show();
      return 0;
    }
    const { watch } = await import("../diag/watch.js");
    await watch(output, options.watch, signal, show);
    return 0;
  },
});
