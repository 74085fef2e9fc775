// Runs the steps, then the server until Ctrl-C.

import { parseAddress } from "berkeley";
import type { Inspector } from "berkeley/inspect";

import { UsageError } from "../frame/failure.js";
import type { Interrupts } from "../frame/interrupts.js";
import type { Output } from "../frame/output.js";
import { destinationOf, exchange } from "./exchange.js";
import { Narrator } from "./narrator.js";
import { type Limits, WelcomeServer } from "./welcomeServer.js";

export interface StepsPlan {
  readonly output: Output;
  readonly interrupts: Interrupts;
  readonly host: string;
  readonly port: number;
  /** Whether the program ends after the steps. */
  readonly once: boolean;
  readonly limits: Limits;
}

export async function runSteps({ output, interrupts, host, port, once, limits }: StepsPlan): Promise<number> {
  checkHost(host);
  const narrator = new Narrator(output);
  narrator.title("The seven steps of a server, and a client that talks to it");
  // The inspector records the calls from here on. With --once the program ends after the steps, so it needs no page.
  const inspector = once ? undefined : await startPage(narrator);
  narrator.heading();
  const { server, early } = await exchange(narrator, host, port);

  if (once) {
    for (const [conn] of early) conn.close();
    server.close();
    narrator.call("server", "server.close()", "nothing");
    return 0;
  }

  const address = server.getsockname();
  const welcomeServer = new WelcomeServer(server, narrator, limits);
  let stopped = false;
  const stop = (): void => {
    if (stopped) return;
    stopped = true;
    welcomeServer.stop();
    narrator.gap();
    narrator.call("server", "server.close()", "nothing");
  };
  // If the reader of standard output closes it, the server ends, as after Ctrl-C.
  output.onOutputClosed(stop);
  // A program that reads the lines of printCommands() may send a signal at once. If the signal arrives before onStop(),
  // onStop() calls stop(). So the output of stop() always follows these lines.
  printCommands(output, host, "port" in address ? address.port : port);
  interrupts.onStop(stop);
  try {
    await welcomeServer.serve(early);
  } finally {
    welcomeServer.stop();
    await inspector?.close();
  }
  return 0;
}

/** Starts the inspector and prints the address of its page. Returns undefined if it can't start. */
async function startPage(narrator: Narrator): Promise<Inspector | undefined> {
  const { startInspector } = await import("berkeley/inspect");
  let inspector: Inspector;
  try {
    inspector = await startInspector({ payloads: true });
  } catch (error) {
    narrator.note(`No inspector: ${(error as Error).message}`);
    return undefined;
  }
  const { url = "" } = inspector;
  if (narrator.output.json) {
    narrator.output.object({ event: "inspector", url });
  } else {
    narrator.output.line("The same as a tour in the browser, step by step, with the packets on the wire:");
    narrator.output.line(`   ${narrator.output.style("bold", `${url}#/tour`)}`);
  }
  return inspector;
}

/** Throws if the host is neither an IP address nor a host name. */
function checkHost(host: string): void {
  try {
    parseAddress(host.includes(":") ? `[${host}]:0` : `${host}:0`);
  } catch (error) {
    // Removes `Cannot parse address "…": `, because the usage error itself quotes the host.
    const reason = (error as Error).message.replace(/^[^:]*(?:"[^"]*")?: /, "");
    throw new UsageError(`--host is ${JSON.stringify(host)}: ${reason}`);
  }
}

/** Prints commands that connect to the server. */
function printCommands(output: Output, host: string, port: number): void {
  const destination = destinationOf(host);
  const hostInUrl = destination.includes(":") ? `[${destination}]` : destination;
  if (output.json) return output.object({ event: "listening", endpoint: `tcp://${hostInUrl}:${port}` });
  const python =
    `python3 -c 'import socket; s = socket.create_connection(("${destination}", ${port})); ` +
    `s.sendall(b"Hello, Server"); print(s.recv(1024).decode())'`;
  output.line();
  output.line(output.style("bold", `Serving on ${hostInUrl}:${port} until Ctrl-C. Talk to it from another terminal:`));
  output.line();
  const commands = [
    [`nc ${destination} ${port}`, "and type a line"],
    [`http://${hostInUrl}:${port}/`, "in a browser"],
  ] as const;
  for (const [command, how] of commands) output.line(`   ${command.padEnd(28)}${output.style("dim", how)}`);
  output.line(`   ${python}`);
  output.line();
}
