// The command `steps`: the seven steps on real sockets, then a server to talk to, until Ctrl-C.

import { parseAddress } from "berkeley";

import { Output } from "./output.js";
import { exchange } from "./steps/exchange.js";
import { Narrator } from "./steps/narrator.js";
import { Visitors } from "./steps/visitors.js";
import { readNumber, readOptions, UsageError } from "./usage.js";

const HOST = "127.0.0.1";
const PORT = 8888;
const MAX_VISITORS = 32;
const VISITOR_TIMEOUT = 60_000;
/** ms within which the signals of one Ctrl-C arrive. */
const SIGNALS_SETTLE = 100;

export const help: string = `berkeley steps: the seven steps of a server on real sockets, then a server to talk to

Usage: berkeley steps [OPTION...]

A server does socket, bind, listen, accept, recv, send and close, a client talks to it, and each line shows the call, what it
returned and what the kernel says of the socket. Then the server goes on: nc, Python or a browser can talk to it until Ctrl-C,
which ends it with status 0.

Options:
  --once                  end after the steps
  --port N                the port (${PORT}); if it is taken, the kernel chooses another; 0 has it choose at once
  --host HOST             the address or name to listen on (${HOST})
  --max-visitors N        visitors at a time (${MAX_VISITORS}); others wait in the kernel's queue
  --visitor-timeout MS    milliseconds that a visitor may take (${VISITOR_TIMEOUT})
  --help                  this text
`;

export async function run(args: readonly string[]): Promise<number> {
  const options = readOptions("steps", args, {
    once: { type: "boolean" },
    port: { type: "string" },
    host: { type: "string" },
    "max-visitors": { type: "string" },
    "visitor-timeout": { type: "string" },
  });
  const port = readNumber("steps", "port", options["port"], PORT, 0, 65_535);
  const maxVisitors = readNumber("steps", "max-visitors", options["max-visitors"], MAX_VISITORS, 1, 10_000);
  const timeout = readNumber("steps", "visitor-timeout", options["visitor-timeout"], VISITOR_TIMEOUT, 1, 86_400_000);
  const host = readHost(options["host"] ?? HOST);

  const output = new Output();
  const narrator = new Narrator(output);
  output.line(output.style("bold", "The seven steps of a server, and a client that talks to it"));
  narrator.heading();
  const { server, early } = await exchange(narrator, host, port);

  if (options["once"] === true) {
    for (const [conn] of early) conn.close();
    server.close();
    narrator.call("server", "server.close()", "nothing");
    return 0;
  }

  const address = server.getsockname();
  const visitors = new Visitors(server, narrator, { maxVisitors, timeout });
  let stopped = false;
  const stop = (): void => {
    if (stopped) return;
    stopped = true;
    visitors.stop();
    output.line();
    narrator.call("server", "server.close()", "nothing");
  };
  // Under npm one Ctrl-C comes twice, from the terminal and from npm. While a process ends, node has given its handlers up
  // already, and the second would end it with another status. So it stays a moment longer.
  const interrupt = (): void => {
    setTimeout(() => {}, SIGNALS_SETTLE);
    stop();
  };
  process.on("SIGINT", interrupt);
  process.on("SIGTERM", interrupt);
  // Nobody sees the narration any more.
  output.whenGone(stop);
  // Last: who reads it may send the signal at once.
  invite(output, host, "port" in address ? address.port : port);
  try {
    await visitors.serve(early);
  } finally {
    visitors.stop();
  }
  return 0;
}

function readHost(host: string | boolean): string {
  const text = String(host);
  try {
    parseAddress(text.includes(":") ? `[${text}]:0` : `${text}:0`);
  } catch (error) {
    throw new UsageError(
      `--host is ${JSON.stringify(text)}: ${(error as Error).message.replace(/^[^:]*(?:"[^"]*")?: /, "")}`,
      "steps",
    );
  }
  return text;
}

/** What to type to talk to the server. */
function invite(output: Output, host: string, port: number): void {
  const reached = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
  const inUrl = reached.includes(":") ? `[${reached}]` : reached;
  const python =
    `python3 -c 'import socket; s = socket.create_connection(("${reached}", ${port})); ` +
    `s.sendall(b"Hello, Server"); print(s.recv(1024).decode())'`;
  output.line();
  output.line(output.style("bold", `Serving on ${inUrl}:${port} until Ctrl-C. Talk to it from another terminal:`));
  output.line();
  const ways = [
    [`nc ${reached} ${port}`, "and type a line"],
    [`http://${inUrl}:${port}/`, "in a browser"],
  ] as const;
  for (const [what, how] of ways) output.line(`   ${what.padEnd(28)}${output.style("dim", how)}`);
  output.line(`   ${python}`);
  output.line();
}
