// Runs of lessons. Each run has its own sockets, and does one step at a time.

import { setTimeout as sleep } from "node:timers/promises";

import type { LessonRun, LessonStep, LessonSummary } from "../protocol.js";
import { backpressureLesson } from "./backpressureLesson.js";
import { halfCloseLesson } from "./halfCloseLesson.js";
import type { LessonPlan, StepPlan } from "./lesson.js";
import { lostPeerLesson } from "./lostPeerLesson.js";
import { PacketTap } from "./packetTap.js";
import { refusedLesson } from "./refusedLesson.js";
import { Scene } from "./scene.js";
import { tcpLesson } from "./tcpLesson.js";
import { udpLesson } from "./udpLesson.js";

const LESSONS: readonly LessonPlan[] = [
  tcpLesson,
  udpLesson,
  refusedLesson,
  lostPeerLesson,
  backpressureLesson,
  halfCloseLesson,
];

/** Maximum number of runs at the same time. A further run ends the oldest one. */
const MAX_RUNS = 8;
/** A run ends after this time without a step, in ms. */
const IDLE_TIMEOUT = 10 * 60_000;
/** How long, in ms, a step waits for its last packets: on loopback, a delayed ACK comes within 40 ms. */
const LAST_PACKETS_DELAY = 60;

export function lessonSummaries(): LessonSummary[] {
  return LESSONS.map(({ name, title, about, plan }) => ({ name, title, about, steps: plan(new Scene()).length }));
}

class Run {
  readonly id: string;
  readonly #lesson: string;
  readonly #scene = new Scene();
  readonly #plan: readonly StepPlan[];
  readonly #steps: LessonStep[] = [];
  readonly #idleTimer: NodeJS.Timeout;
  #ended = false;
  /** Settles when the step that was requested last has ended. A further step begins only then. */
  #lastStep: Promise<unknown> = Promise.resolve();

  constructor(id: string, lesson: LessonPlan, onIdle: (run: Run) => void) {
    this.id = id;
    this.#lesson = lesson.name;
    this.#plan = lesson.plan(this.#scene);
    this.#idleTimer = setTimeout(() => onIdle(this), IDLE_TIMEOUT);
    this.#idleTimer.unref();
  }

  get isDone(): boolean {
    return this.#ended || this.#steps.length === this.#plan.length;
  }

  report(): LessonRun {
    return {
      id: this.id,
      lesson: this.#lesson,
      steps: [...this.#steps],
      done: this.isDone,
      titles: this.#plan.map(({ title }) => title),
    };
  }

  /** Does the next step, after all steps that were requested before. */
  next(): Promise<LessonRun> {
    const step = this.#lastStep.then(() => this.#runStep());
    this.#lastStep = step.catch(() => undefined);
    return step;
  }

  async #runStep(): Promise<LessonRun> {
    if (this.isDone) return this.report();
    this.#idleTimer.refresh();
    const { title, code, run, text } = this.#plan[this.#steps.length]!;
    const scene = this.#scene;
    // observe() comes before the capture, because it adds the ports whose packets the capture keeps.
    const before = scene.observe();
    const tap = new PacketTap(scene);
    await tap.start();
    let result: string;
    try {
      result = await run();
      await sleep(LAST_PACKETS_DELAY);
    } catch (error) {
      await tap.stop();
      this.end();
      throw error;
    }
    const after = scene.observe();
    const packets = await tap.stop();
    this.#steps.push({ title, code: code(), result, text, before, after, ...packets });
    if (this.isDone) this.end();
    return this.report();
  }

  end(): void {
    this.#ended = true;
    clearTimeout(this.#idleTimer);
    this.#scene.close();
  }
}

export class LessonRuns {
  readonly #runs = new Map<string, Run>();
  #count = 0;

  /** Starts a run; undefined if there is no such lesson. */
  start(name: string): LessonRun | undefined {
    const lesson = LESSONS.find((one) => one.name === name);
    if (lesson === undefined) return undefined;
    const [oldestId] = this.#runs.keys();
    if (this.#runs.size >= MAX_RUNS && oldestId !== undefined) this.end(oldestId);
    const run = new Run(String(++this.#count), lesson, ({ id }) => this.end(id));
    this.#runs.set(run.id, run);
    return run.report();
  }

  /** Does the next step; undefined if there is no such run. */
  async next(id: string): Promise<LessonRun | undefined> {
    const run = this.#runs.get(id);
    if (run === undefined) return undefined;
    try {
      return await run.next();
    } catch (error) {
      this.end(id);
      throw error;
    }
  }

  /** Ends a run. Returns false if there is no such run. */
  end(id: string): boolean {
    this.#runs.get(id)?.end();
    return this.#runs.delete(id);
  }

  close(): void {
    for (const id of this.#runs.keys()) this.end(id);
  }
}
