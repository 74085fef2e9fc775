// A program that runs beside a test: its lines as they come, its end.
import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

/** The folder of package.json. */
export const root: string = fileURLToPath(new URL("../../..", import.meta.url));

/** The folder of the compiled tests and examples. A program that runs here and imports "berkeley" gets what the tests get. */
export const compiled: string = fileURLToPath(new URL("../..", import.meta.url));

export interface Ended {
  readonly status: number | NodeJS.Signals;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ProgramOptions {
  readonly env?: NodeJS.ProcessEnv;
  /** What it reads on its standard input, which ends then; without it there is none. */
  readonly input?: string;
  /** Whether its standard input is a pipe that stays open. */
  readonly openInput?: boolean;
  /** Descriptors that it gets from number 3 on. */
  readonly descriptors?: readonly number[];
  /** Milliseconds that it may run before it is ended; 30,000 unless told otherwise. */
  readonly limit?: number;
}

/** Arguments of Node for a program in the text or a file, as the runtime that runs the tests takes them. */
export function programArguments(args: readonly string[]): string[] {
  const [first, second, third, ...rest] = args;
  if (!("deno" in process.versions)) return [...args];
  // What it evaluates is a module there.
  if (first === "--input-type=module" && second === "--eval") return ["eval", third!, ...rest];
  return first === undefined || first.startsWith("-") ? [...args] : ["run", "--allow-all", ...args];
}

/** How long a program may run, in ms, before it is ended and so fails its test. */
const LIMIT = 30_000;

/** A child process. `await using` ends it if it has not ended. */
export class Program implements AsyncDisposable {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  #stdout = "";
  #stderr = "";
  #over = false;
  #waiting: (() => void)[] = [];

  constructor(command: string, args: readonly string[], options: ProgramOptions = {}) {
    const env = { ...process.env, ...options.env };
    // Else a child that is node would think that it is a test file.
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
      this.#news();
    });
    stderr!.on("data", (chunk: Buffer) => {
      this.#stderr += chunk.toString();
      this.#news();
    });
    this.ended = new Promise((resolve, reject) => {
      this.child.on("error", reject);
      this.child.on("close", (status, signal) => {
        this.#over = true;
        this.#news();
        resolve({ status: signal ?? status!, stdout: this.#stdout, stderr: this.#stderr });
      });
    });
    // Who awaits it hears of it; who does not sees it in `line()`.
    this.ended.catch(() => undefined);
  }

  /** A script of ours, run by this node. */
  static node(args: readonly string[], options?: ProgramOptions): Program {
    return new Program(process.execPath, args, options);
  }

  get stdout(): string {
    return this.#stdout;
  }

  #news(): void {
    for (const look of this.#waiting.splice(0)) look();
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** The first whole line that matches, once it is there; of standard output unless told otherwise. */
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
