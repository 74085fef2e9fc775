// Slow clients against serve(): npm run soak [-- COUNT]
//
// COUNT slow clients (default 8,000) in a process of their own send a byte every ten seconds. They use the addresses
// 127.0.0.1 to 127.0.0.4. At the same time normal clients send lines and wait for the answers. As many normal clients
// do that with a second server without slow clients. Other work on the machine slows down both servers, so the
// difference between the servers is caused by the slow clients.
//
// The first run has `minReadRate` and `idleTimeout` off: the server must hold all connections for a minute. The second
// run has the defaults: the server must close all slow connections in time. The exit status is 1 if a check fails.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "berkeley";
import type { ClientsState } from "./clients.js";
import type { ServerState } from "./server.js";

const COUNT = Number(process.argv[2] ?? 8_000);
/** Milliseconds between two bytes of a slow client. */
const INTERVAL = 10_000;
/** How long the server must hold all connections, in ms. */
const HOLD = 60_000;
/** How long the normal clients run without slow clients, in ms. */
const ALONE = 10_000;
/** Number of normal clients. */
const NORMAL_CLIENTS = 20;
/** Milliseconds of a window in which p99 is computed. */
const WINDOW = 5_000;
/** Milliseconds between two requests of a normal client. */
const PAUSE = 50;
/** In ms: about 20 s and a step of the timer (docs/servers.md), and the time to close so many connections. */
const CLOSED_WITHIN = 25_000;
const KB_PER_CONNECTION = 16;
const DESCRIPTORS = COUNT + 1_000;

const failures: string[] = [];
function check(what: string, holds: boolean): void {
  console.log(`  ${what}: ${holds ? "yes" : "NO"}`);
  if (!holds) failures.push(what);
}

/** Starts a program of this folder, with a higher limit of descriptors. */
function start(name: string, ...args: (string | number)[]): ChildProcess {
  const file = fileURLToPath(new URL(`${name}.js`, import.meta.url));
  const command = [process.execPath, "--expose-gc", file, ...args.map(String)];
  const limited = ["-c", `ulimit -n ${DESCRIPTORS} && exec "$@"`, "sh", ...command];
  return spawn("sh", limited, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
}

/** The next message of a child. Rejects if the child ends first. */
async function nextMessage<T>(child: ChildProcess): Promise<T> {
  const settled = new AbortController();
  const { signal } = settled;
  try {
    const ended = once(child, "exit", { signal }).then(([status]) =>
      Promise.reject(new Error(`a program ended with status ${String(status)}`)),
    );
    const [message] = (await Promise.race([once(child, "message", { signal }), ended])) as [T];
    return message;
  } finally {
    settled.abort();
  }
}

function ask<T>(child: ChildProcess): Promise<T> {
  child.send("state");
  return nextMessage<T>(child);
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const ended = once(child, "exit");
  child.disconnect();
  await ended;
}

/** When a request of a normal client began, and how long it took, in ms. */
interface Sample {
  readonly at: number;
  readonly took: number;
}

/** Runs the normal clients. Resolves with their requests, and with the number of clients that failed. */
async function runNormalClients(port: number, until: () => boolean): Promise<{ times: Sample[]; failed: number }> {
  const times: Sample[] = [];
  let failed = 0;
  const clients = Array.from({ length: NORMAL_CLIENTS }, async () => {
    try {
      await using stream = await connect(["127.0.0.1", port], { localAddress: ["127.0.0.5", 0] });
      while (!until()) {
        const began = performance.now();
        await stream.write("hello\n");
        if ((await stream.readLine({ timeout: 10_000 })) !== "hello") throw new Error("a wrong answer");
        times.push({ at: began, took: performance.now() - began });
        await sleep(PAUSE);
      }
    } catch {
      failed++;
    }
  });
  await Promise.all(clients);
  return { times, failed };
}

/** A function that returns true when so many milliseconds have passed. */
const after = (ms: number): (() => boolean) => {
  const end = performance.now() + ms;
  return () => performance.now() >= end;
};
const quantile = (sorted: readonly number[], part: number): number => sorted[Math.floor(sorted.length * part)] ?? NaN;

/** The median of the p99 of all windows, so that a burst of other work in one window has no effect. */
function p99(times: readonly Sample[]): number {
  const windows = new Map<number, number[]>();
  for (const { at: began, took } of times) {
    const window = Math.floor(began / WINDOW);
    const values = windows.get(window);
    if (values === undefined) windows.set(window, [took]);
    else values.push(took);
  }
  const sort = (values: number[]): number[] => values.toSorted((a, b) => a - b);
  return quantile(sort([...windows.values()].map((values) => quantile(sort(values), 0.99))), 0.5);
}

const ms = (time: number): string => `${time.toFixed(2)} ms`;

async function run(mode: "off" | "defaults"): Promise<void> {
  console.log(mode === "off" ? "minReadRate and idleTimeout off" : "the defaults");
  const [server, quietServer] = [start("server", mode), start("server", mode)];
  let clients: ChildProcess | undefined;
  try {
    const [{ port }, { port: quietPort }] = await Promise.all([
      nextMessage<ServerState>(server),
      nextMessage<ServerState>(quietServer),
    ]);
    const alone = await runNormalClients(port, after(ALONE));
    const memoryBefore = (await ask<ServerState>(server)).memory;
    clients = start("clients", port, COUNT, INTERVAL);
    const began = performance.now();
    await nextMessage<ClientsState>(clients);
    console.log(`  ${COUNT} clients connected in ${((performance.now() - began) / 1000).toFixed(1)} s`);
    const isLate = after(mode === "off" ? HOLD : CLOSED_WITHIN + INTERVAL);
    let allClosed = false;
    const watching = (async () => {
      if (mode === "off") return;
      while (!isLate() && !allClosed) {
        allClosed = (await ask<ClientsState>(clients)).open === 0;
        await sleep(500);
      }
    })();
    const isOver = (): boolean => allClosed || isLate();
    const [loaded, quiet] = await Promise.all([
      runNormalClients(port, isOver),
      runNormalClients(quietPort, isOver),
      watching,
    ]);
    const { longest, open } = await ask<ClientsState>(clients);
    const state = await ask<ServerState>(server);
    if (mode === "off") {
      check(
        `all ${COUNT} held for ${HOLD / 1000} s (${state.connections} connections)`,
        open === COUNT && state.connections === COUNT,
      );
      const kb = (state.memory - memoryBefore) / 1024 / COUNT;
      check(`memory per connection ${kb.toFixed(1)} kB, at most ${KB_PER_CONNECTION} kB`, kb <= KB_PER_CONNECTION);
    } else {
      const causes = `${state.minReadRate} by minReadRate, ${state.idleTimeout} by idleTimeout`;
      check(`all ${COUNT} closed (${causes})`, open === 0 && state.minReadRate + state.idleTimeout === COUNT);
      const limit = `at most ${CLOSED_WITHIN / 1000} s`;
      check(`the last one ${(longest / 1000).toFixed(1)} s after its first byte, ${limit}`, longest <= CLOSED_WITHIN);
    }
    const [quietP99, loadedP99] = [p99(quiet.times), p99(loaded.times)];
    const counts = `${quiet.times.length} and ${loaded.times.length} requests; ${ms(p99(alone.times))} before`;
    check(
      `p99 of normal clients, median of windows: ${ms(quietP99)} without slow clients, ${ms(loadedP99)} with them ` +
        `(${counts}), at most twice`,
      loadedP99 <= 2 * quietP99,
    );
    check("no normal client failed", alone.failed + quiet.failed + loaded.failed === 0);
  } finally {
    if (clients !== undefined) await stop(clients);
    await Promise.all([stop(server), stop(quietServer)]);
  }
}

const probe = spawn("sh", ["-c", `ulimit -n ${DESCRIPTORS}`], { stdio: "ignore" });
const [status] = (await once(probe, "exit")) as [number];
if (status === 0) {
  await run("off");
  await run("defaults");
  console.log(failures.length === 0 ? "soak: all checks passed" : `soak: failed: ${failures.join("; ")}`);
  process.exitCode = failures.length === 0 ? 0 : 1;
} else {
  const { spawnSync } = await import("node:child_process");
  const limit = spawnSync("sh", ["-c", "ulimit -Hn"]).stdout.toString().trim();
  console.log(`soak: skipped: the limit of descriptors is ${limit}, required ${DESCRIPTORS}`);
}
