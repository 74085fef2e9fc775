// The command `steps`: socket, bind, listen, accept, recv, send and close on real sockets, then a server to talk to,
// until Ctrl-C.

import { define, flag, optionWithDefault, type Command } from "../frame/command.js";
import { text, wholeNumber } from "../frame/values.js";

const HOST = "127.0.0.1";
const PORT = 8888;
const MAX_VISITORS = 32;
const VISITOR_TIMEOUT = 60_000;

export const command: Command = define({
  name: "steps",
  summary: "the seven steps of a server on real sockets, then a server to talk to",
  description: [
    "A server calls socket, bind, listen, accept, recv, send and close, and a client connects to it. Each line shows " +
      "a call, its result and the kernel's state of the socket. Then the server continues to serve: nc, Python or a " +
      "browser can connect to it until Ctrl-C, which ends the command with status 0.",
    "Without --once it also serves the page of the inspector on 127.0.0.1 and prints its address: the page has the " +
      "same steps as a tour, and shows what the sockets of this command do.",
  ],
  options: {
    once: flag("--once", "end after the steps"),
    port: optionWithDefault(
      "--port N",
      "the port; if it is in use, or 0, the kernel chooses a port",
      wholeNumber(0, 65_535),
      PORT,
    ),
    host: optionWithDefault("--host HOST", "the address or name to listen on", text, HOST),
    maxVisitors: optionWithDefault(
      "--max-visitors N",
      "visitors at a time; others wait in the kernel's queue",
      wholeNumber(1, 10_000),
      MAX_VISITORS,
    ),
    visitorTimeout: optionWithDefault(
      "--visitor-timeout MS",
      "milliseconds that a visitor may take",
      wholeNumber(1, 86_400_000),
      VISITOR_TIMEOUT,
    ),
  },
  examples: [
    { about: "The steps, and then a server on port 8888", command: "berkeley steps" },
    { about: "Only the steps, on a port that the kernel chooses", command: "berkeley steps --once --port 0" },
  ],
  seeAlso: ["socket(2)", "tcp(7)", "berkeley-echo(1)"],
  async run({ options, output, interrupts }) {
    const { runSteps } = await import("../steps/run.js");
    const { port, host, maxVisitors, visitorTimeout: timeout, once } = options;
    return runSteps({ output, interrupts, port, host, once, limits: { maxConnections: maxVisitors, timeout } });
  },
});
