// Slow clients against serve(): npm run soak [-- COUNT]
//
// COUNT clients (default 8,000) in a process of their own send a byte every ten seconds, from 127.0.0.1 to 127.0.0.4.
// Meanwhile honest clients send a line and wait for the answer. The same number of them does so with a second server
// that has no slow clients. Other work on the machine slows down both servers, so the difference is caused by the slow
// clients. The first run has `minReadRate` and `idleTimeout` off: the server must hold all connections for a minute.
// The second has the defaults: it must close all of them in time. The exit status is 1 if one of these conditions is
// not met.

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
const HOLD = 60_000;
const ALONE = 10_000;
const HONEST = 20;
/** Milliseconds of a window in which p99 is computed. */
const WINDOW = 5_000;
/** Milliseconds between two requests of an honest client. */
const PAUSE = 50;
/** docs/servers.md: about 20 s, and a step of the timer; the rest is the time to close this many connections. */
const CLOSED_WITHIN = 25_000;
const KB_PER_CONNECTION = 16;
const DESCRIPTORS = COUNT + 1_000;

const failures: string[] = [];
function check(what: string, holds: boolean): void {
  console.log(`  ${what}: ${holds ? "yes" : "NO"}`);
  if (!holds) failures.push(what);
}

/** A program of this folder with a higher limit of descriptors. */
function start(name: string, ...args: (string | number)[]): ChildProcess {
  const file = fileURLToPath(new URL(`${name}.js`, import.meta.url));
  const command = [process.execPath, "--expose-gc", file, ...args.map(String)];
  const limited = ["-c", `ulimit -n ${DESCRIPTORS} && exec "$@"`, "sh", ...command];
  return spawn("sh", limited, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
}

async function next<T>(child: ChildProcess): Promise<T> {
  const over = new AbortController();
  const { signal } = over;
  try {
    const ended = once(child, "exit", { signal }).then(([status]) =>
      Promise.reject(new Error(`a program ended with status ${String(status)}`)),
    );
    const [message] = (await Promise.race([once(child, "message", { signal }), ended])) as [T];
    return message;
  } finally {
    over.abort();
  }
}

function ask<T>(child: ChildProcess): Promise<T> {
  child.send("state");
  return next<T>(child);
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const ended = once(child, "exit");
  child.disconnect();
  await ended;
}

/** When a request of an honest client began, and how long it took, in ms. */
interface Sample {
  readonly at: number;
  readonly took: number;
}

/** The requests of honest clients, and the number of clients that have failed. */
async function honest(port: number, until: () => boolean): Promise<{ times: Sample[]; failed: number }> {
  const times: Sample[] = [];
  let failed = 0;
  const clients = Array.from({ length: HONEST }, async () => {
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

const during = (ms: number): (() => boolean) => {
  const end = performance.now() + ms;
  return () => performance.now() >= end;
};
const at = (sorted: readonly number[], part: number): number => sorted[Math.floor(sorted.length * part)] ?? NaN;

/** The median of the p99 of all windows, so that a burst of other work in one window has no effect. */
function p99(times: readonly Sample[]): number {
  const windows = new Map<number, number[]>();
  for (const { at: began, took } of times) {
    const window = Math.floor(began / WINDOW);
    const few = windows.get(window);
    if (few === undefined) windows.set(window, [took]);
    else few.push(took);
  }
  const sort = (values: number[]): number[] => values.toSorted((a, b) => a - b);
  return at(sort([...windows.values()].map((few) => at(sort(few), 0.99))), 0.5);
}

const ms = (time: number): string => `${time.toFixed(2)} ms`;

async function run(mode: "off" | "defaults"): Promise<void> {
  console.log(mode === "off" ? "minReadRate and idleTimeout off" : "the defaults");
  const [server, quietServer] = [start("server", mode), start("server", mode)];
  let clients: ChildProcess | undefined;
  try {
    const [empty, calm] = await Promise.all([next<ServerState>(server), next<ServerState>(quietServer)]);
    const alone = await honest(empty.port, during(ALONE));
    const before = await ask<ServerState>(server);
    clients = start("clients", empty.port, COUNT, INTERVAL);
    const began = performance.now();
    await next<ClientsState>(clients);
    console.log(`  ${COUNT} clients connected in ${((performance.now() - began) / 1000).toFixed(1)} s`);
    const late = during(mode === "off" ? HOLD : CLOSED_WITHIN + INTERVAL);
    let gone = false;
    const watching = (async () => {
      if (mode === "off") return;
      while (!late() && !gone) {
        gone = (await ask<ClientsState>(clients)).open === 0;
        await sleep(500);
      }
    })();
    const over = (): boolean => gone || late();
    const [under, quiet] = await Promise.all([honest(empty.port, over), honest(calm.port, over), watching]);
    const { longest, open } = await ask<ClientsState>(clients);
    const after = await ask<ServerState>(server);
    if (mode === "off") {
      check(
        `all ${COUNT} held for ${HOLD / 1000} s (${after.connections} connections)`,
        open === COUNT && after.connections === COUNT,
      );
      const kb = (after.memory - before.memory) / 1024 / COUNT;
      check(`memory per connection ${kb.toFixed(1)} kB, at most ${KB_PER_CONNECTION} kB`, kb <= KB_PER_CONNECTION);
    } else {
      const cut = `${after.minReadRate} by minReadRate, ${after.idleTimeout} by idleTimeout`;
      check(`all ${COUNT} closed (${cut})`, open === 0 && after.minReadRate + after.idleTimeout === COUNT);
      const limit = `at most ${CLOSED_WITHIN / 1000} s`;
      check(`the last one ${(longest / 1000).toFixed(1)} s after its first byte, ${limit}`, longest <= CLOSED_WITHIN);
    }
    const [without, loaded] = [p99(quiet.times), p99(under.times)];
    const counts = `${quiet.times.length} and ${under.times.length} requests; ${ms(p99(alone.times))} before`;
    check(
      `p99 of honest clients, median of windows: ${ms(without)} quiet, ${ms(loaded)} under (${counts}), at most twice`,
      loaded <= 2 * without,
    );
    check("no honest client failed", alone.failed + quiet.failed + under.failed === 0);
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
  console.log(failures.length === 0 ? "soak: all holds" : `soak: failed: ${failures.join("; ")}`);
  process.exitCode = failures.length === 0 ? 0 : 1;
} else {
  const { spawnSync } = await import("node:child_process");
  const limit = spawnSync("sh", ["-c", "ulimit -Hn"]).stdout.toString().trim();
  console.log(`soak: skipped: the limit of descriptors is ${limit}, required ${DESCRIPTORS}`);
}
