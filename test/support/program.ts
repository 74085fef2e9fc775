// Runs programs for tests.
import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { SLOWDOWN } from "./slowdown.js";

/** The folder of package.json. */
export const root: string = fileURLToPath(new URL("../../..", import.meta.url));

/** The folder of the compiled tests and examples. A program in it resolves "berkeley" as the tests do. */
export const compiled: string = fileURLToPath(new URL("../..", import.meta.url));

/**
 * The environment for programs that do not load the addon, not even in a child. Under scripts/sanitize.mjs it lacks the
 * runtime of AddressSanitizer, which makes the start of a program several times slower.
 */
export function plainEnvironment(): NodeJS.ProcessEnv {
  const env = { ...process.env };
  if (env["ASAN_OPTIONS"] !== undefined) delete env["LD_PRELOAD"];
  return env;
}

export interface Ended {
  readonly status: number | NodeJS.Signals;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ProgramOptions {
  readonly env?: NodeJS.ProcessEnv;
  /** The standard input of the program. Default: none. */
  readonly input?: string;
  /** Whether the standard input is a pipe that stays open. */
  readonly openInput?: boolean;
  /** Descriptors of this process that are passed to the program, from number 3 on. */
  readonly descriptors?: readonly number[];
  /** Milliseconds after which the program is killed. Default 30,000. */
  readonly limit?: number;
}

/** Translates arguments of Node for the runtime that runs the tests. */
export function programArguments(args: readonly string[]): string[] {
  const [first, second, third, ...rest] = args;
  if (!("deno" in process.versions)) return [...args];
  // `deno eval` takes the text as a module.
  if (first === "--input-type=module" && second === "--eval") return ["eval", third!, ...rest];
  return first === undefined || first.startsWith("-") ? [...args] : ["run", "--allow-all", ...args];
}

/** Default of `limit`. */
const LIMIT = 30_000 * SLOWDOWN;

/** A child process. `await using` kills it if it still runs. */
export class Program implements AsyncDisposable {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  #stdout = "";
  #stderr = "";
  #over = false;
  #waiting: (() => void)[] = [];

  constructor(command: string, args: readonly string[], options: ProgramOptions = {}) {
    const env = { ...process.env, ...options.env };
    // With this variable a child that is Node would print the protocol of a test runner.
    delete env["NODE_TEST_CONTEXT"];
    this.child = spawn(command, command === process.execPath ? programArguments(args) : args, {
      cwd: compiled,
      env,
      killSignal: "SIGKILL",
      stdio: [
        options.input === undefined && options.openInput !== true ? "ignore" : "pipe",
        "pipe",
        "pipe",
        ...(options.descriptors ?? []),
      ],
      timeout: options.limit ?? LIMIT,
    });
    const { stdin, stdout, stderr } = this.child;
    stdin?.on("error", () => {});
    if (options.openInput !== true) stdin?.end(options.input);
    stdout!.on("data", (chunk: Buffer) => {
      this.#stdout += chunk.toString();
      this.#wake();
    });
    stderr!.on("data", (chunk: Buffer) => {
      this.#stderr += chunk.toString();
      this.#wake();
    });
    this.ended = new Promise((resolve, reject) => {
      this.child.on("error", reject);
      this.child.on("close", (status, signal) => {
        this.#over = true;
        this.#wake();
        resolve({ status: signal ?? status!, stdout: this.#stdout, stderr: this.#stderr });
      });
    });
    // A test that does not await `ended` must not get an unhandled rejection.
    this.ended.catch(() => undefined);
  }

  /** Runs a script with this Node. */
  static node(args: readonly string[], options?: ProgramOptions): Program {
    return new Program(process.execPath, args, options);
  }

  get stdout(): string {
    return this.#stdout;
  }

  /** Makes the waiting calls of `line()` search again. */
  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** Waits for the first complete line that matches. Throws if the program ends without one. */
  async line(pattern: RegExp, of: "stdout" | "stderr" = "stdout"): Promise<RegExpExecArray> {
    for (;;) {
      for (const line of (of === "stdout" ? this.#stdout : this.#stderr).split("\n").slice(0, -1)) {
        const match = pattern.exec(line);
        if (match !== null) return match;
      }
      if (this.#over) {
        throw new Error(`it ended without a line like ${String(pattern)}:\n${this.#stdout}${this.#stderr}`);
      }
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#over) this.child.kill("SIGKILL");
    await this.ended.catch(() => undefined);
  }
}
