// Servers of other projects as subjects. They do not print their port. So each gets a free port as an argument, and
// this file polls the kernel until the server listens there.

import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

import { Child } from "./children.js";

/** A port of 127.0.0.1 that is free at this moment. */
export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, "close");
  return port;
}

/** Maximum time until such a server listens, in ms. */
const START_TIMEOUT = 10_000;
/** Time between two polls, in ms. */
const POLL_INTERVAL = 20;

/**
 * Whether a process listens at the port, read from /proc/net/tcp (proc_net(5)). A connect would also reach the target
 * of a proxy.
 */
async function listens(port: number): Promise<boolean> {
  const local = `0100007F:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const lines = (await readFile("/proc/net/tcp", "utf8")).split("\n");
  return lines.some((line) => line.includes(`: ${local} 00000000:0000 0A `));
}

/**
 * Runs `command` on `core`. Resolves when it listens at `port`. Its standard output is discarded.
 */
export async function startForeign(core: number, port: number, command: readonly string[]): Promise<Child> {
  const child = await Child.start(core, ["sh", "-c", 'exec "$@" >/dev/null', command[0]!, ...command]);
  try {
    const deadline = performance.now() + START_TIMEOUT;
    while (!(await listens(port))) {
      if (child.end !== undefined) throw new Error(`${command[0]} ended with ${child.end}; is it installed?`);
      if (performance.now() > deadline) throw new Error(`${command[0]} does not listen after ${START_TIMEOUT} ms`);
      await delay(POLL_INTERVAL);
    }
    return child;
  } catch (error) {
    await child.stop();
    throw error;
  }
}
