// Servers of other people as subjects: they choose no port themselves and print no line of ours, so they get a port that is
// free, and the kernel is asked until they listen there.

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

/** How long such a server may take to listen, in ms, and between two looks. */
const PATIENCE = 10_000;
const PAUSE = 20;

/** Whether somebody listens there, read from the kernel's list (proc_net(5)): to connect would be noticed behind a proxy. */
async function listens(port: number): Promise<boolean> {
  const local = `0100007F:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const lines = (await readFile("/proc/net/tcp", "utf8")).split("\n");
  return lines.some((line) => line.includes(`: ${local} 00000000:0000 0A `));
}

/** Runs `command` on `core`; resolves when something listens at `port`. What it says goes nowhere but its complaints. */
export async function startForeign(core: number, port: number, command: readonly string[]): Promise<Child> {
  const child = await Child.start(core, ["sh", "-c", 'exec "$@" >/dev/null', command[0]!, ...command]);
  try {
    const deadline = performance.now() + PATIENCE;
    while (!(await listens(port))) {
      if (child.end !== undefined) throw new Error(`${command[0]} ended with ${child.end}; is it installed?`);
      if (performance.now() > deadline) throw new Error(`${command[0]} does not listen after ${PATIENCE} ms`);
      await delay(PAUSE);
    }
    return child;
  } catch (error) {
    await child.stop();
    throw error;
  }
}
