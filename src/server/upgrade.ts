// upgrade(): starts the new version of this program, hands the listening sockets over, and drains this program.
//
// Because of this order, no client is refused, reset or without an answer:
//
// 1. The new program gets the sockets themselves, so both programs use the same accept queues.
// 2. The new program accepts nothing before it calls `ready()`. So it has no client if it fails earlier. This program
//    accepts until the new program accepts.
// 3. For a moment both programs accept. A connection belongs to the process that has accepted it.
// 4. This program closes its descriptors of the sockets. The accept queues stay, because the new program has the
//    sockets. Then ready() resolves in the new program.

import { runCallback, reportFailure } from "../callbacks.js";
import { checkNames, checkOptions, quote } from "../check/index.js";
import { clock, workerThreads } from "../builtins.js";
import {
  type Handover,
  handoverOf,
  findInheritance,
  notifyManager,
  unexpectedMessageError,
  type NewProgramChannel,
  openUpgradeChannel,
  type PassableSocket,
  type UpgradeMessage,
} from "../net/serverAccess.js";
import { localError, timeoutError } from "../wait/localError.js";
import { within } from "../wait/within.js";
import { checkSignals, onSignal } from "../admission/index.js";
import {
  type CheckedUpgrade,
  checkUpgrade,
  type Exit,
  NewProgram,
  notStartedError,
  UPGRADE_OPTIONS,
  type UpgradeOptions,
} from "./newProgram.js";
import { UpgradeError } from "./upgradeError.js";

/** The result of {@link upgrade}: the new program has taken over. */
export interface Upgraded {
  /** The process id of the new program. */
  readonly pid: number;
  /** Resolves when this program has served its last connection. */
  readonly drained: Promise<void>;
}

/** Options of {@link upgradeOn}. */
export interface UpgradeOnOptions extends UpgradeOptions {
  /** Called when an upgrade has failed. Without this function, the process emits a `CallbackWarning`. */
  readonly onError?: ((error: unknown) => void) | undefined;
  /** Called when the new program has taken over. */
  readonly onUpgraded?: ((upgraded: Upgraded) => void) | undefined;
}

/**
 * An object that `upgrade()` can hand over: the result of `serve()`, `serveUdp()`, `serveWorkers()`, `serveMetrics()`,
 * `forward()`, `listen()` or `bindUdp()`.
 */
export interface Upgradable {
  /** Closes the server or socket. `upgrade()` drains servers instead. */
  close(): Promise<void>;
}

/** `serving`: no upgrade is in progress. `replaced`: a new program has taken over. */
let phase: "serving" | "upgrading" | "replaced" = "serving";
/** Whether a call of ready() has succeeded. */
let isReady = false;

/**
 * Starts the new version of this program and hands the listening sockets over to it. No connection is refused, reset or
 * lost, because there is one accept queue all the time.
 *
 * In the new program, `serve()`, `listen()`, `forward()` and `bindUdp()` take a socket over in two cases: their
 * endpoint is the one with which the old program made the socket, or it is the address of the socket. They accept
 * nothing before the new program has called {@link ready}. Then this program drains the servers, and closes the
 * listeners and UDP sockets. Files of UNIX sockets stay.
 *
 * Before `ready()` nothing changes here. If the new program ends, or is not ready within `timeout`, the call ends the
 * new program and rejects, and this program continues to serve. The same happens if one of the servers is closed before
 * `ready()`. The new program has the standard streams of this one. {@link UpgradeOptions} has its command, directory
 * and environment.
 *
 * The call resolves when the new program has taken over. This process ends by itself after the drain, if nothing else
 * keeps it alive. A service manager that has set `NOTIFY_SOCKET` gets `RELOADING=1`, and then `MAINPID=` with
 * `READY=1`.
 *
 * @param servers all servers and sockets of the program that clients must find all the time
 * @throws UpgradeError `ERR_UPGRADE` if the new program does not start or ends before it is ready
 * @throws SocketError `ETIMEDOUT`; `EALREADY` during another upgrade, after a successful one, and, in a program that an
 *   upgrade has started, before `ready()`; `EBADF` for a server that is closed or drains; `ECANCELED` if one is closed
 *   before the new program is ready; `ENOENT` if there is no directory `cwd`; `EOPNOTSUPP` in a worker thread and in
 *   process 1, whose end would end its container
 * @throws TypeError or RangeError for wrong arguments
 * @see unix(7) (SCM_RIGHTS), sd_notify(3)
 * @example
 * ```ts no-run
 * import { ready, serve, upgradeOn } from "berkeley/server";
 *
 * const web = await serve("tcp://0.0.0.0:8888", async (stream) => void (await stream.write("hello\n")));
 * const admin = await serve("unix:/run/admin.sock", async (stream) => void (await stream.write("hello, admin\n")));
 * upgradeOn([web, admin], ["SIGUSR2"]);
 * await ready();
 * ```
 */
export async function upgrade(servers: readonly Upgradable[], opts: UpgradeOptions = {}): Promise<Upgraded> {
  const handovers = handoversOf(servers, "upgrade");
  const checked = checkUpgrade(opts, "upgrade");
  if (phase !== "serving") {
    throw upgradeRefused(
      "EALREADY",
      phase === "upgrading" ? "an upgrade is under way" : "a new program has taken over",
    );
  }
  if (!workerThreads().isMainThread)
    throw upgradeRefused("EOPNOTSUPP", "this is a worker thread, required the main thread");
  if (process.pid === 1) {
    throw upgradeRefused(
      "EOPNOTSUPP",
      "this is process 1, and its end would end the new program: start another container",
    );
  }
  phase = "upgrading";
  try {
    if (!isReady && (await findInheritance()) !== undefined) {
      throw upgradeRefused("EALREADY", "this program was started by an upgrade, and has not called ready()");
    }
    const sockets = handovers.flatMap((handover) => socketsOf(handover));
    const upgraded = await new UpgradeAttempt(handovers, sockets, checked).run();
    phase = "replaced";
    return upgraded;
  } finally {
    if (phase === "upgrading") phase = "serving";
  }
}

/**
 * Calls {@link upgrade} when the process gets one of these signals. A signal during an upgrade is reported as an error.
 * Unsuitable: SIGHUP, which a closed terminal sends, and SIGUSR1, which Node.js uses.
 *
 * @param signals default SIGUSR2
 * @returns a function that restores the default action of the signals: they end the process
 * @throws TypeError or RangeError for wrong arguments
 */
export function upgradeOn(
  servers: readonly Upgradable[],
  signals: readonly NodeJS.Signals[] = ["SIGUSR2"],
  opts: UpgradeOnOptions = {},
): () => void {
  const action = "upgrade on signals";
  handoversOf(servers, action);
  const names = checkSignals(signals, action);
  checkOptions(opts, action);
  checkNames(opts, [...UPGRADE_OPTIONS, "onError", "onUpgraded"], action, "upgradeOn");
  const { onError, onUpgraded, ...upgradeOpts } = opts;
  for (const [name, callback] of Object.entries({ onError, onUpgraded })) {
    if (callback === undefined || typeof callback === "function") continue;
    throw new TypeError(`Cannot ${action}: ${name} is ${quote(callback)}, required a function`);
  }
  checkUpgrade(upgradeOpts, action);
  const onUpgradeSignal = (): void => {
    upgrade(servers, upgradeOpts).then(
      (upgraded) => {
        if (onUpgraded !== undefined) runCallback("onUpgraded", onUpgraded, upgraded);
      },
      (error: unknown) => {
        if (onError === undefined) reportFailure("upgradeOn()", error);
        else runCallback("onError", onError, error);
      },
    );
  };
  const removers = [...names].map((name) => onSignal(name, onUpgradeSignal));
  return () => {
    for (const remove of removers) remove();
  };
}

/**
 * Declares that this program is ready. Call it after `serve()`, `listen()` and the rest of the start.
 *
 * In a program that `upgrade()` has started, the servers begin to accept, and the old program drains. Sockets of the
 * old program that no server here uses are closed. The call resolves when the old program accepts no more. In any other
 * program it only sends `READY=1` to the service manager, if there is one.
 *
 * @throws SocketError `ECANCELED` if the old program has ended or has given the upgrade up; the errors of sd_notify(3)
 * @see sd_notify(3), systemd.service(5) (Type=notify)
 * @example
 * ```ts
 * import { ready, serve } from "berkeley/server";
 *
 * await using server = await serve("tcp://127.0.0.1:8888", () => undefined);
 * await ready();
 * ```
 */
export async function ready(): Promise<void> {
  const inheritance = await findInheritance();
  if (inheritance !== undefined) await inheritance.reportReady();
  else if (!isReady) await notifyManager("READY=1");
  isReady = true;
}

function upgradeRefused(code: string, reason: string): Error {
  return localError(code, "upgrade", { cause: new Error(reason) });
}

const serverClosed = (): Error => upgradeRefused("ECANCELED", "a server was closed during the upgrade");

/** Checks the servers. Returns the handover of each one: the functions that return its sockets and that drain it. */
function handoversOf(servers: unknown, action: string): Handover[] {
  if (!Array.isArray(servers) || servers.length === 0) {
    throw new TypeError(`Cannot ${action}: servers are ${quote(servers)}, required an array of servers`);
  }
  return servers.map((server: unknown) => {
    const handover = typeof server === "object" && server !== null ? handoverOf(server) : undefined;
    if (handover !== undefined) return handover;
    const required = "required a server, a forwarder, or the result of listen() or bindUdp() with an endpoint";
    throw new TypeError(`Cannot ${action}: a server is ${quote(server)}, ${required}`);
  });
}

function socketsOf(handover: Handover): readonly PassableSocket[] {
  const sockets = handover.sockets();
  if (sockets === undefined) throw upgradeRefused("EBADF", "a server is closed or drains");
  return sockets;
}

/** One call of `upgrade()`. */
class UpgradeAttempt {
  /** One for each server. */
  readonly #handovers: readonly Handover[];
  /** The sockets of all handovers. */
  readonly #sockets: readonly PassableSocket[];
  readonly #opts: CheckedUpgrade;
  /** Aborted when a server is closed before the new program is ready. */
  readonly #cancellation = new AbortController();

  constructor(handovers: readonly Handover[], sockets: readonly PassableSocket[], opts: CheckedUpgrade) {
    this.#handovers = handovers;
    this.#sockets = sockets;
    this.#opts = opts;
  }

  async run(): Promise<Upgraded> {
    const hasManager = await notifyManager(`RELOADING=1\nMONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`);
    try {
      return await this.#start();
    } catch (error) {
      if (hasManager) await this.#notify("READY=1\nSTATUS=The upgrade has failed");
      throw error;
    }
  }

  async #start(): Promise<Upgraded> {
    const { timeout } = this.#opts;
    const channel = openUpgradeChannel(this.#sockets);
    let program: NewProgram | undefined;
    try {
      // Until the new program is ready, closing a server ends the upgrade.
      channel.watch(() => this.#cancellation.abort(serverClosed()));
      program = await NewProgram.start(this.#opts, channel.env, channel.fd);
      channel.onStarted();
      /** Makes the function that makes the error of a timeout. `reason` completes the message. */
      const lateError = (reason: string) => (): Error => {
        const cause = new Error(`the new program, process ${program!.pid}, ${reason} within ${timeout} ms`);
        return timeoutError("upgrade", { cause });
      };
      const startedAt = clock();
      const { pid, taken } = await within(
        this.#untilReady(channel),
        timeout,
        [this.#cancellation.signal],
        lateError("has not called ready()"),
      );
      // From now on, the new program may accept. So closing a server no longer ends the upgrade.
      channel.unwatch();
      const remaining = timeout === null ? null : timeout - (clock() - startedAt);
      await within(
        this.#untilServing(channel),
        remaining,
        [],
        lateError("has called ready(), but has not begun to accept"),
      );
      const drained = this.#drainAll(taken);
      channel.close();
      program.unref();
      await this.#notify(`MAINPID=${pid}\nREADY=1\nSTATUS=`, { lastMessage: true });
      return { pid, drained };
    } catch (error) {
      channel.close();
      const exit = await program?.end();
      if (error instanceof ProgramEnded) throw error.toUpgradeError(program!.pid, exit!);
      // The code is EPROTO if the process has written anything but messages to the channel.
      if (program === undefined || (error as { code?: unknown }).code !== "EPROTO") throw error;
      const cause = (error as Error).cause as Error;
      const text = `Cannot upgrade: process ${program.pid} is no program that uses upgrade(): ${cause.message}`;
      throw new UpgradeError(text, { pid: program.pid, exitCode: null, signal: null, ...exit }, { cause });
    }
  }

  /**
   * Resolves with the next message. Rejects with `ProgramEnded` when the new program has ended. `failure` is the
   * message with the reason of that end, if such a message has arrived.
   */
  async #next(channel: NewProgramChannel, failure?: FailedMessage): Promise<UpgradeMessage> {
    const message = await channel.receive();
    if (message === undefined) throw new ProgramEnded(failure);
    return message;
  }

  /** Resolves when the new program has called ready(), with the indexes of the sockets that it uses. */
  async #untilReady(channel: NewProgramChannel): Promise<{ pid: number; taken: readonly number[] }> {
    let failure: FailedMessage | undefined;
    for (;;) {
      const message = await this.#next(channel, failure);
      if (message.type === "failed") {
        failure = message;
        continue;
      }
      if (message.type !== "ready") throw unexpectedMessageError(message.type);
      // The channel reports only closed sockets. A server that drains may still have its socket, but no longer passes
      // it.
      if (this.#handovers.some((handover) => handover.sockets() === undefined)) throw serverClosed();
      return message;
    }
  }

  /** Sends `go`, so that the new program accepts. Resolves when it accepts. */
  async #untilServing(channel: NewProgramChannel): Promise<void> {
    // If the new program has ended, `#next()` rejects below.
    await channel.send({ type: "go" }).catch(() => undefined);
    let failure: FailedMessage | undefined;
    for (;;) {
      const message = await this.#next(channel, failure);
      if (message.type === "serving") return;
      if (message.type !== "failed") throw unexpectedMessageError(message.type);
      failure = message;
    }
  }

  /**
   * Drains the servers and closes the other objects. Resolves when the last connection has ended.
   *
   * @param taken the indexes of the sockets that the new program uses
   */
  async #drainAll(taken: readonly number[]): Promise<void> {
    // The new program listens on the files of these UNIX sockets, so this program does not remove them.
    for (const index of taken) {
      const file = this.#sockets[index]?.file;
      if (file !== undefined) file.kept = true;
    }
    // Rejections are ignored, because a server reports the errors of its listener itself.
    await Promise.allSettled(this.#handovers.map((handover) => handover.stop(this.#opts.drainTimeout)));
  }

  /**
   * Sends a state to the service manager. An error is only reported, so it does not change the result of the upgrade.
   */
  async #notify(state: string, { lastMessage = false }: { readonly lastMessage?: boolean } = {}): Promise<void> {
    try {
      await notifyManager(state, lastMessage);
    } catch (error) {
      reportFailure("sd_notify", error);
    }
  }
}

/** The message with the error that ends the new program. */
type FailedMessage = UpgradeMessage & { readonly type: "failed" };

/**
 * The new program has closed its end of the channel. The exit status of the program comes later, so `toUpgradeError()`
 * makes the error with it.
 */
class ProgramEnded extends Error {
  readonly #failure: FailedMessage | undefined;

  constructor(failure: FailedMessage | undefined) {
    super("the new program has ended");
    this.#failure = failure;
  }

  toUpgradeError(pid: number | undefined, { error, exitCode, signal }: Exit): UpgradeError {
    const end = { pid, exitCode, signal };
    if (error !== undefined) return notStartedError(error);
    const how = signal === null ? `exited with status ${exitCode}` : `was ended by ${signal}`;
    const text = `Cannot upgrade: the new program, process ${pid}, ${how} before it was ready`;
    const failure = this.#failure;
    if (failure === undefined) return new UpgradeError(text, end);
    const cause = new Error(failure.summary);
    cause.stack = failure.detail ?? failure.summary;
    return new UpgradeError(`${text}: ${failure.summary}`, end, { cause });
  }
}
