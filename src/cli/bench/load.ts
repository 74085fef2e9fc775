// The load of a benchmark. A turn is the work that a connection repeats, for example a request and its answer.
//
// Closed loop: each connection begins a turn when its previous turn has ended. Open loop: turns are due at fixed times,
// even if earlier turns have not ended. A latency counts from the time when the turn was due. So if a server stalls for
// a second, all turns of that second have a high latency. If a latency counted from the send, only one turn of each
// connection would show the stall (coordinated omission).

import { setMaxListeners } from "node:events";
import { setImmediate as passEventLoop, setTimeout as sleep } from "node:timers/promises";

import { Latencies } from "./latencies.js";
import { openTurnRunner, type TurnRunner, type WorkPlan } from "./work.js";

export interface LoadPlan extends WorkPlan {
  readonly connections: number;
  /** Length of the run in ms. */
  readonly duration: number;
  /** Turns per second of all connections together; undefined for a closed loop. */
  readonly rate: number | undefined;
  readonly signal: AbortSignal;
}

/** After the run, pending turns are stopped if they have not ended after this many ms. */
const GRACE = 1000;
/** Node's setTimeout() can be late by this many ms. So the last part of a wait uses setImmediate(). */
const TIMER_DELAY = 1.5;

export class Load {
  readonly latencies: Latencies = new Latencies();
  /** Turns that have succeeded. */
  turns = 0;
  /** Numbers of bytes. */
  sent = 0;
  received = 0;
  /** Datagrams without an answer. */
  lost = 0;
  /** Number of failed turns by error code. */
  readonly errors: Map<string, number> = new Map();
  /** Turns that were due and have not begun: the server was too slow for the rate. */
  missed = 0;
  /** ms from the start of the first turn to the end of the run. */
  elapsed = 0;
  /** The fraction of one core that this process has used during the run. */
  cpu = 0;
  readonly #plan: LoadPlan;
  /** One for each connection; undefined after an error, until the next turn opens the connection again. */
  #turnRunners: (TurnRunner | undefined)[] = [];
  /** The time at which the first turn began; 0 before. */
  #startedAt = 0;
  #ended = false;
  /** With an open loop, the index of the next turn. */
  #nextTurn = 0;

  constructor(plan: LoadPlan) {
    this.#plan = plan;
  }

  /** ms since the start of the first turn. */
  get runningTime(): number {
    return this.#startedAt === 0 ? 0 : performance.now() - this.#startedAt;
  }

  /**
   * @param onOpen called when all connections are open
   * @throws SocketError when a connection can't be made at the beginning
   */
  async run(onOpen: () => void): Promise<void> {
    const { connections, duration, rate, signal } = this.#plan;
    const opened = await Promise.allSettled(Array.from({ length: connections }, () => openTurnRunner(this.#plan)));
    this.#turnRunners = opened.map((result) => (result.status === "fulfilled" ? result.value : undefined));
    const failed = opened.find((result) => result.status === "rejected");
    if (failed !== undefined || signal.aborted) {
      this.#stop();
      throw failed === undefined ? signal.reason : failed.reason;
    }
    onOpen();
    this.#startedAt = performance.now();
    const usage = process.cpuUsage();
    const timeUp = new AbortController();
    const timer = setTimeout(() => timeUp.abort(), duration);
    const ending = AbortSignal.any([signal, timeUp.signal]);
    // Each waiting connection adds a listener, so the warning about many listeners is switched off.
    setMaxListeners(0, ending);
    ending.addEventListener("abort", () => (this.#ended = true), { once: true });
    const loops = this.#turnRunners.map((_, index) =>
      rate === undefined ? this.#closedLoop(index) : this.#openLoop(index, rate, ending),
    );
    const allEnded = Promise.all(loops);
    // An unexpected error ends the run early.
    allEnded.catch(() => timeUp.abort());
    await new Promise<void>((resolve) => ending.addEventListener("abort", () => resolve(), { once: true }));
    clearTimeout(timer);
    this.elapsed = this.runningTime;
    const { user, system } = process.cpuUsage(usage);
    this.cpu = (user + system) / 1000 / this.elapsed;
    const graceTimer = setTimeout(() => this.#stop(), GRACE);
    try {
      await allEnded;
      // close() and not stop(): stop() resets the connection, which the server would report as an error.
      await Promise.allSettled(
        this.#turnRunners.flatMap((turnRunner) => (turnRunner === undefined ? [] : [turnRunner.close()])),
      );
    } finally {
      clearTimeout(graceTimer);
      this.#stop();
    }
    if (rate !== undefined) this.missed = Math.max(0, Math.floor((this.elapsed * rate) / 1000) - this.#nextTurn);
  }

  #stop(): void {
    this.#ended = true;
    for (const turnRunner of this.#turnRunners) turnRunner?.stop();
  }

  /** Runs the turns of a connection. `index` is the index of the connection. */
  async #closedLoop(index: number): Promise<void> {
    while (!this.#ended) await this.#runTurn(index, { due: performance.now() });
  }

  /** Runs the turns of a connection, each when it is due. */
  async #openLoop(index: number, rate: number, ending: AbortSignal): Promise<void> {
    while (!this.#ended) {
      // All connections share the due times. The first free connection takes the next one.
      const due = this.#startedAt + (this.#nextTurn++ * 1000) / rate;
      try {
        const timeLeft = due - performance.now();
        if (timeLeft > TIMER_DELAY) await sleep(timeLeft - TIMER_DELAY, undefined, { signal: ending });
      } catch {
        return;
      }
      while (performance.now() < due) await passEventLoop();
      if (!this.#ended) await this.#runTurn(index, { due });
    }
  }

  /** Runs a turn and records its result. Its latency counts from `due`. */
  async #runTurn(index: number, { due }: { readonly due: number }): Promise<void> {
    try {
      const turnRunner = (this.#turnRunners[index] ??= await openTurnRunner(this.#plan));
      const { sent, received, lost = false } = await turnRunner.runTurn();
      this.sent += sent;
      this.received += received;
      if (lost) this.lost++;
      else {
        this.turns++;
        this.latencies.record(performance.now() - due);
      }
    } catch (error) {
      // The end of the run has stopped this turn.
      if (this.#ended) return;
      const { code = String(error) } = error as { readonly code?: string };
      this.errors.set(code, (this.errors.get(code) ?? 0) + 1);
      this.#turnRunners[index]?.stop();
      this.#turnRunners[index] = undefined;
      // If the server refuses each connection, a pause prevents a busy loop.
      await sleep(10);
    }
  }
}
