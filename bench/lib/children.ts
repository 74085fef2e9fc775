// The child processes of a measurement. Each runs on one core and prints lines of JSON. bench/native/pin.c starts it,
// and makes the kernel kill it when this process ends. endChildrenWithUs() kills it sooner, when this process exits or
// gets a signal such as that of Ctrl-C.

import { type ChildProcessByStdio, spawn } from "node:child_process";
import { constants } from "node:os";
import { basename } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";

import { nativeProgram } from "./native.js";

type Process = ChildProcessByStdio<Writable, Readable, Readable | null>;

const alive = new Set<Process>();

let capturesStderr = false;

/**
 * Captures the standard error of children that start later, instead of printing it. The message about the end of a
 * child then has one line of it, so a version of the library that lacks a function causes one line and no stack trace.
 */
export function captureStderr(): void {
  capturesStderr = true;
}

/**
 * The line of standard error with the reason of a failure: the first line of a JavaScript error, or else the last line.
 */
export function errorLineIn(text: string): string | undefined {
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

/** A running program. Disposing of it kills it. Its standard error is ours, unless `captureStderr()` was called. */
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
        stdio: ["pipe", "pipe", capturesStderr ? "pipe" : "inherit"],
      }) as Process,
    );
  }

  private constructor(name: string, child: Process) {
    this.name = name;
    this.#process = child;
    alive.add(child);
    // A write to a child that has ended fails. next() reports the end of the child.
    child.stdin.on("error", () => undefined);
    createInterface({ input: child.stdout }).on("line", (line) => {
      this.#lines.push(line);
      this.#wake?.();
    });
    let stderr = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      if (stderr.length < 65_536) stderr += text;
    });
    this.#exited = new Promise((resolve) => {
      const settle = (how: string): void => {
        alive.delete(child);
        const errorLine = errorLineIn(stderr);
        const end = errorLine === undefined ? how : `${how} (${errorLine})`;
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

  /** How the child ended; undefined while it runs. */
  get end(): string | undefined {
    return this.#end;
  }

  /** Waits for the end of the child. Resolves with how it ended, or with undefined if it still runs after that time. */
  async endWithin(milliseconds: number): Promise<string | undefined> {
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<undefined>((resolve) => {
      timer = setTimeout(resolve, milliseconds, undefined);
    });
    const end = await Promise.race([this.#exited, timeout]);
    clearTimeout(timer);
    return end;
  }

  /** Writes a line to the child's standard input. */
  writeLine(line: string): void {
    this.#process.stdin.write(`${line}\n`);
  }

  /** The next line that the child prints, parsed as JSON. Rejects when the child ends first, or after `timeoutMs`. */
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

  /** Like `next()`. Rejects if the line is not an object. */
  async nextObject(timeoutMs?: number): Promise<Line> {
    const value = await this.next(timeoutMs);
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new Error(`${this.name} printed ${JSON.stringify(value)}, a JSON object is required`);
    }
    return value as Line;
  }

  /** Kills the child and waits until it has ended. */
  async stop(): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

function killAll(): void {
  for (const child of alive) child.kill("SIGKILL");
}

/** Makes all children end when this process exits or gets SIGINT, SIGTERM or SIGHUP. */
export function endChildrenWithUs(): void {
  process.on("exit", killAll);
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.once(signal, () => process.exit(128 + constants.signals[signal]));
  }
}
