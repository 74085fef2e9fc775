// The new program of an upgrade, as a process.

import type { ChildProcess } from "node:child_process";
import { fs } from "../builtins.js";
import { checkNames, checkOptions, quote } from "../check/index.js";
import { UpgradeError } from "./upgradeError.js";
import { localError } from "../wait/localError.js";
import { millisecondsOr } from "../wait/waitOptions.js";

/** Options of {@link upgrade}. */
export interface UpgradeOptions {
  /** The executable of the new program. Default: that of this program, `process.execPath`. */
  readonly command?: string | undefined;
  /**
   * The arguments of the new program. Default without `command`: those of this program, after the options of Node.js.
   * Default with `command`: none.
   */
  readonly args?: readonly string[] | undefined;
  /** The environment of the new program. Default: `process.env` at the time of the call. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  /**
   * The current directory of the new program. Default: the directory in which this program was started. If the path in
   * `PWD` named that directory, this path is used. So if it is a symbolic link that leads to a new version now, the new
   * program starts in the directory of the new version.
   */
  readonly cwd?: string | undefined;
  /** Milliseconds in which the new program must call `ready()` and accept; null for no limit. Default 60,000. */
  readonly timeout?: number | null | undefined;
  /** Milliseconds for the connections of this program, as in `drain()`; null for no limit. Default 10,000. */
  readonly drainTimeout?: number | null | undefined;
}

/** `UpgradeOptions`, checked. */
export interface CheckedUpgrade {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly timeout: number | null;
  readonly drainTimeout: number | null | undefined;
}

export const UPGRADE_OPTIONS: readonly string[] = ["command", "args", "env", "cwd", "timeout", "drainTimeout"];
const DEFAULT_TIMEOUT = 60_000;
/** Milliseconds between SIGTERM and SIGKILL for a program that did not become ready. */
const KILL_DELAY = 2_000;
/** Variables that systemd has set for this process only. The new program does not have the descriptors they name. */
const OWN_VARIABLES = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID"];

/**
 * The current directory at the start of this program. It is read at once, because the program may change its directory
 * later, and because the directory of an old version may be removed.
 */
const startedIn: string | undefined = startDirectory();

function startDirectory(): string | undefined {
  const { PWD: pwd } = process.env;
  try {
    const cwd = process.cwd();
    if (pwd?.startsWith("/") !== true) return cwd;
    const [ofPwd, ofCwd] = [fs().statSync(pwd), fs().statSync(cwd)];
    const isSame = ofPwd.dev === ofCwd.dev && ofPwd.ino === ofCwd.ino;
    return isSame ? pwd : cwd;
  } catch {
    // One of the directories was removed. If PWD is a symbolic link, it may lead to a new version later.
    return pwd;
  }
}

export function checkUpgrade(opts: UpgradeOptions, action: string): CheckedUpgrade {
  checkOptions(opts, action);
  checkNames(opts, UPGRADE_OPTIONS, action, "upgrade");
  const { args, command, cwd = startedIn ?? "/", env = process.env } = opts;
  if (command !== undefined) checkPath(command, action, "command");
  checkPath(cwd, action, "cwd");
  if (args !== undefined && !(Array.isArray(args) && args.every((arg) => typeof arg === "string"))) {
    throw new TypeError(`Cannot ${action}: args are ${quote(args)}, required an array of strings`);
  }
  if (typeof env !== "object" || env === null) {
    throw new TypeError(`Cannot ${action}: env is ${quote(env)}, required an object`);
  }
  return {
    command: command ?? process.execPath,
    args: args ?? (command === undefined ? ownArguments() : []),
    env,
    cwd,
    timeout: millisecondsOr(opts.timeout, DEFAULT_TIMEOUT, action, "timeout"),
    drainTimeout: millisecondsOr(opts.drainTimeout, undefined, action, "drainTimeout"),
  };
}

function checkPath(value: unknown, action: string, name: string): void {
  if (typeof value === "string" && value !== "" && !value.includes("\0")) return;
  throw new TypeError(`Cannot ${action}: ${name} is ${quote(value)}, required a path`);
}

/** The arguments of this program, with the options of Node.js. */
function ownArguments(): string[] {
  const args = process.argv.slice(1);
  // After `node --eval`, `process.argv` has no script. If its first argument begins with "-", it came after "--".
  return [...process.execArgv, ...(args[0]?.startsWith("-") === true ? ["--"] : []), ...args];
}

/** How a process has ended. `error` is set if the process did not start. */
export interface Exit {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly error?: unknown;
}

/** Makes the error of a program that does not start. */
export function notStartedError(cause: unknown): UpgradeError {
  const end = { pid: undefined, exitCode: null, signal: null };
  return new UpgradeError(`Cannot upgrade: the new program does not start: ${(cause as Error).message}`, end, {
    cause,
  });
}

export class NewProgram {
  /** Resolves when the process has ended, or did not start. */
  readonly whenEnded: Promise<Exit>;
  readonly #child: ChildProcess;
  #hasEnded = false;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.whenEnded = new Promise<Exit>((resolve) => {
      const end = (exit: Exit): void => {
        this.#hasEnded = true;
        resolve(exit);
      };
      child.once("exit", (exitCode, signal) => end({ exitCode, signal }));
      child.on("error", (error) => {
        if (child.pid === undefined) end({ exitCode: null, signal: null, error });
      });
    });
  }

  /**
   * Starts the program with these environment variables, and with `fd` as descriptor 3. The program inherits the
   * standard streams of this process, because pipes to this process would be closed when this process ends.
   */
  static async start(
    { args, command, cwd, env }: CheckedUpgrade,
    variables: Readonly<Record<string, string>>,
    fd: number,
  ): Promise<NewProgram> {
    if (fs().statSync(cwd, { throwIfNoEntry: false })?.isDirectory() !== true) {
      // spawn() would report that the program does not exist.
      const cause = new Error(`cwd is ${quote(cwd)}, required a directory that exists`);
      throw localError("ENOENT", "chdir", { cause });
    }
    const { spawn } = await import("node:child_process");
    const environment: Record<string, string | undefined> = { ...env, ...variables };
    for (const name of OWN_VARIABLES) delete environment[name];
    // PWD must be set here, because no shell does that. Otherwise it could name the directory of the old version.
    if (environment["PWD"] !== undefined) environment["PWD"] = cwd;
    try {
      return new NewProgram(
        spawn(command, args, { cwd, env: environment, stdio: ["inherit", "inherit", "inherit", fd] }),
      );
    } catch (cause) {
      // spawn() reports some errors with the event "error", and throws others, such as E2BIG.
      throw notStartedError(cause);
    }
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Lets this process end while the new program runs. */
  unref(): void {
    this.#child.unref();
  }

  /** Ends the program, unless it has ended already. Resolves when it has ended. */
  async end(): Promise<Exit> {
    if (!this.#hasEnded) this.#child.kill("SIGTERM");
    const timer = setTimeout(() => {
      if (!this.#hasEnded) this.#child.kill("SIGKILL");
    }, KILL_DELAY);
    const exit = await this.whenEnded;
    clearTimeout(timer);
    return exit;
  }
}
