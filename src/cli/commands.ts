// The list of commands: name, summary, and a function that loads the file of the command when it is used.

import type { Command } from "./frame/command.js";

export interface CommandEntry {
  readonly name: string;
  /** The same text as in the file of the command. A test compares the two texts. */
  readonly summary: string;
  load(): Promise<{ readonly command: Command }>;
}

export const COMMANDS: readonly CommandEntry[] = [
  {
    name: "connect",
    summary: "sends standard input to an endpoint, and prints the answer on standard output",
    load: () => import("./commands/connect.js"),
  },
  {
    name: "listen",
    summary: "accepts a connection, sends standard input, and prints the received data",
    load: () => import("./commands/listen.js"),
  },
  {
    name: "send",
    summary: "sends one message and prints one answer",
    load: () => import("./commands/send.js"),
  },
  {
    name: "file",
    summary: "sends a file or receives one, with its size and checksum",
    load: () => import("./commands/file.js"),
  },
  {
    name: "echo",
    summary: "a server that sends received data back",
    load: () => import("./commands/echo.js"),
  },
  {
    name: "discard",
    summary: "a server that discards received data",
    load: () => import("./commands/discard.js"),
  },
  {
    name: "chargen",
    summary: "a server that sends characters without end",
    load: () => import("./commands/chargen.js"),
  },
  {
    name: "daytime",
    summary: "a server that sends the date and the time",
    load: () => import("./commands/daytime.js"),
  },
  {
    name: "chat",
    summary: "a server that sends each line of a client to all others",
    load: () => import("./commands/chat.js"),
  },
  {
    name: "proxy",
    summary: "passes connections or datagrams on to a target, records them and slows them down",
    load: () => import("./commands/proxy.js"),
  },
  {
    name: "scan",
    summary: "tests which TCP ports of a host accept connections",
    load: () => import("./commands/scan.js"),
  },
  {
    name: "ping",
    summary: "measures the round-trip time to hosts",
    load: () => import("./commands/ping.js"),
  },
  {
    name: "trace",
    summary: "the routers on the way to a host, without being root",
    load: () => import("./commands/trace.js"),
  },
  {
    name: "resolve",
    summary: "the addresses of a name in the order in which connect tries them, with the reason",
    load: () => import("./commands/resolve.js"),
  },
  {
    name: "options",
    summary: "every option of one kind of socket, its value and its man page",
    load: () => import("./commands/options.js"),
  },
  {
    name: "sockets",
    summary: "this machine's sockets: states, queues, timers, TCP_INFO, processes",
    load: () => import("./commands/sockets.js"),
  },
  {
    name: "inspect",
    summary: "runs a program of Node with the inspector: a page that shows its sockets",
    load: () => import("./commands/inspect.js"),
  },
  {
    name: "replay",
    summary: "sends the client's side of a recorded conversation, and compares the answers",
    load: () => import("./commands/replay.js"),
  },
  {
    name: "bench",
    summary: "puts load on a server, and measures its rate and its latencies by percentile",
    load: () => import("./commands/bench.js"),
  },
  {
    name: "steps",
    summary: "the seven steps of a server on real sockets, then a server to talk to",
    load: () => import("./commands/steps.js"),
  },
  {
    name: "completion",
    summary: "the completions of this program for a shell",
    load: () => import("./commands/completion.js"),
  },
  {
    name: "man",
    summary: "the manual page of a command",
    load: () => import("./commands/man.js"),
  },
];
