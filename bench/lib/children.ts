// The processes of a measurement: started on one core, spoken to in lines of JSON, and never left behind. Each is started
// through bench/native/pin.c, which asks the kernel to end it when this process is gone; here every way out of a
// measurement, Ctrl-C included, ends them sooner.

import { type ChildProcessByStdio, spawn } from "node:child_process";
import { constants } from "node:os";
import { basename } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";

import { nativeProgram } from "./native.js";

type Process = ChildProcessByStdio<Writable, Readable, Readable | null>;

const alive = new Set<Process>();

let keepsComplaints = false;

/**
 * From now on the standard error of children is kept for the message that says how they ended, in place of being ours: a stack
 * trace of a library that lacks what a script uses is one line then.
 */
export function keepComplaints(): void {
  keepsComplaints = true;
}

/** The line of a standard error that says what was wrong: the first of an error of JavaScript, or else the last. */
export function complaintIn(text: string): string | undefined {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  // An error whose stack is its message alone is printed in brackets.
  const error = /^(?:Uncaught )?\[?([A-Z]\w*Error(?: \[\w+\])?: .*)$/m.exec(text)?.[1];
  return error ?? lines.at(-1);
}

/** A JSON object that a child printed. */
export type Line = Readonly<Record<string, unknown>>;

/** A number that must be in a child's line. */
export function numberIn(line: Line, name: string): number {
  const value = line[name];
  if (typeof value !== "number" || !Number.isFinite(value)) {
    throw new Error(`a line with a number ${JSON.stringify(name)} is required, found ${JSON.stringify(line)}`);
  }
  return value;
}

/** A running program; disposing of it ends it. Its standard error is ours, unless `keepComplaints()` was called. */
export class Child {
  readonly name: string;
  readonly #process: Process;
  readonly #exited: Promise<string>;
  readonly #lines: string[] = [];
  #wake: (() => void) | undefined;
  #end: string | undefined;

  /** Runs `command` on `core`, where all its threads stay. */
  static async start(core: number, command: readonly [string, ...string[]]): Promise<Child> {
    const pin = await nativeProgram("pin");
    return new Child(
      [command[0], command[1] ?? ""]
        .map((part) => basename(part))
        .join(" ")
        .trim(),
      spawn(pin, [String(core), String(process.pid), ...command], {
        stdio: ["pipe", "pipe", keepsComplaints ? "pipe" : "inherit"],
      }) as Process,
    );
  }

  private constructor(name: string, child: Process) {
    this.name = name;
    this.#process = child;
    alive.add(child);
    // A child that has died breaks the pipe; its end is reported where its next line is awaited.
    child.stdin.on("error", () => undefined);
    createInterface({ input: child.stdout }).on("line", (line) => {
      this.#lines.push(line);
      this.#wake?.();
    });
    let complaints = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      if (complaints.length < 65_536) complaints += text;
    });
    this.#exited = new Promise((resolve) => {
      const settle = (how: string): void => {
        alive.delete(child);
        const complaint = complaintIn(complaints);
        const end = complaint === undefined ? how : `${how} (${complaint})`;
        this.#end ??= end;
        this.#wake?.();
        resolve(end);
      };
      child.once("error", (error) => settle(error.message));
      child.once("close", (status, signal) => settle(signal === null ? `status ${status}` : `signal ${signal}`));
    });
  }

  get pid(): number {
    const { pid } = this.#process;
    if (pid === undefined) throw new Error(`${this.name} did not start`);
    return pid;
  }

  /** How the child ended, once it has. */
  get end(): string | undefined {
    return this.#end;
  }

  /** How the child ended, or undefined when it still runs after so long. */
  async endWithin(milliseconds: number): Promise<string | undefined> {
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<undefined>((resolve) => {
      timer = setTimeout(resolve, milliseconds, undefined);
    });
    const end = await Promise.race([this.#exited, patience]);
    clearTimeout(timer);
    return end;
  }

  /** Writes a line to the child's standard input. */
  tell(line: string): void {
    this.#process.stdin.write(`${line}\n`);
  }

  /** The next line the child prints, as JSON. Fails when it ends first, or after `timeoutMs`. */
  async next(timeoutMs = 20_000): Promise<unknown> {
    const deadline = performance.now() + timeoutMs;
    while (this.#lines.length === 0) {
      if (this.#end !== undefined)
        throw new Error(`${this.name} ended with ${this.#end} before it printed what was awaited`);
      const left = deadline - performance.now();
      if (left <= 0) throw new Error(`${this.name} printed nothing for ${timeoutMs} ms`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = (): void => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = undefined;
    }
    const text = this.#lines.shift() as string;
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw new Error(`${this.name} printed ${JSON.stringify(text)}, a line of JSON is required`, { cause });
    }
  }

  /** As `next()`, for a line that is an object. */
  async nextObject(timeoutMs?: number): Promise<Line> {
    const value = await this.next(timeoutMs);
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new Error(`${this.name} printed ${JSON.stringify(value)}, a JSON object is required`);
    }
    return value as Line;
  }

  /** Ends the child and waits until it is gone. */
  async stop(): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

function endAll(): void {
  for (const child of alive) child.kill("SIGKILL");
}

/** Ends all children when this process is told to end, or ends for whatever reason. */
export function endChildrenWithUs(): void {
  process.on("exit", endAll);
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.once(signal, () => process.exit(128 + constants.signals[signal]));
  }
}
