// Starts the host of a worker, which is a thread or a process, and passes messages between the host and the server.
//
// Each host runs the same short script. The script imports the package and calls `serveWorkers[WORKER]`, which is
// runWorker(). So the package needs no file that is only for workers.

import type { ResourceLimits } from "node:worker_threads";
import { childProcess, workerThreads } from "../builtins.js";
import { type FromWorker, isFromWorker, type ToWorker, type WorkerStart } from "./workerMessages.js";

/** The property of `serveWorkers` with the function that runs in a worker. */
export const WORKER: unique symbol = Symbol.for("berkeley.worker") as never;

/** How a host has ended. */
export interface HostEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The uncaught error of a thread, or the error with which a process did not start. */
  readonly error: unknown;
}

/** A thread or a process that runs a worker. */
export interface WorkerHost {
  /** The id of the thread or of the process; -1 if it did not start. */
  readonly id: number;
  send(message: ToWorker): void;
  /** Ends the thread or process at once, even in an endless loop. */
  kill(): void;
  /** Sets whether the host keeps the process of the server alive. */
  setKeepsAlive(keepsAlive: boolean): void;
}

/** The receiver of the messages of a worker, and of its end. */
export interface HostOwner {
  onMessage(message: FromWorker): void;
  /** Called once, after the last message. */
  onEnded(end: HostEnd): void;
}

/** A word of the script. It is a constant, so that a bundler does not find the text `import()` in the script. */
const IMPORT = "import";

/**
 * The script of a worker. `packageUrl` is the module that exports `serveWorkers`. The script passes its function `load`
 * to runWorker(), which loads the user's module with it.
 */
function scriptOf(packageUrl: string): string {
  const load = `(url) => ${IMPORT}(url)`;
  return (
    `const load = ${load}; load(${JSON.stringify(packageUrl)}).then((m) => ` +
    `m.serveWorkers[Symbol.for("berkeley.worker")](load));`
  );
}

export function startThread(
  packageUrl: string,
  start: WorkerStart,
  resourceLimits: ResourceLimits | undefined,
  owner: HostOwner,
): WorkerHost {
  const { Worker } = workerThreads();
  const thread = new Worker(scriptOf(packageUrl), {
    eval: true,
    workerData: start,
    name: `worker ${start.worker}`,
    ...(resourceLimits === undefined ? {} : { resourceLimits }),
  });
  const { threadId: id } = thread;
  let error: unknown;
  thread.on("message", (message: unknown) => {
    if (isFromWorker(message)) owner.onMessage(message);
  });
  thread.on("error", (thrown: unknown) => (error = thrown));
  thread.on("exit", (code) => owner.onEnded({ code, signal: null, error }));
  return {
    id,
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread is no window
    send: (message) => thread.postMessage(message),
    kill: () => void thread.terminate(),
    setKeepsAlive: (keepsAlive) => {
      if (keepsAlive) thread.ref();
      else thread.unref();
    },
  };
}

/** The flags of Node.js for a worker: those of this process, without its script, debugger, tests and watch mode. */
function flagsOfWorker(execArgv: readonly string[]): string[] {
  const flags: string[] = [];
  for (let index = 0; index < execArgv.length; index++) {
    const flag = execArgv[index]!;
    // The script is the next argument.
    if (/^(?:-e|-p|-pe|--eval|--print)$/.test(flag)) index++;
    else if (!/^--(?:eval|print|input-type|inspect|test|watch)/.test(flag)) flags.push(flag);
  }
  return flags;
}

/** The number of the first inherited descriptor after the standard streams and the channel of messages. */
const FIRST_INHERITED = 4;

export function startProcess(
  packageUrl: string,
  start: WorkerStart,
  descriptors: readonly number[],
  owner: HostOwner,
): WorkerHost {
  const { spawn } = childProcess();
  const child = spawn(process.execPath, [...flagsOfWorker(process.execArgv), "--eval", scriptOf(packageUrl)], {
    serialization: "advanced",
    stdio: ["ignore", "inherit", "inherit", "ipc", ...descriptors],
  });
  let error: unknown;
  /** Set when the process has exited, or did not start. */
  let hostEnd: HostEnd | undefined;
  let reported = false;
  const reportEnd = (): void => {
    // Messages may arrive after the exit, until the channel is closed.
    if (reported || hostEnd === undefined || child.connected) return;
    reported = true;
    owner.onEnded(hostEnd);
  };
  child.on("message", (message: unknown) => {
    if (isFromWorker(message)) owner.onMessage(message);
  });
  child.on("error", (thrown) => {
    error = thrown;
    // The process could not be started, so it does not exit.
    if (child.pid === undefined) hostEnd ??= { code: null, signal: null, error };
    reportEnd();
  });
  child.on("exit", (code, signal) => {
    hostEnd = { code, signal, error };
    reportEnd();
  });
  child.on("disconnect", reportEnd);
  // If the process has ended, send() passes an error to its callback. The event "exit" handles that end.
  const send = (message: ToWorker | WorkerStart): void => void child.send?.(message, () => undefined);
  if (child.pid !== undefined) send(start);
  return {
    id: child.pid ?? -1,
    send: (message) => {
      if (child.connected) send(message);
    },
    kill: () => void child.kill("SIGKILL"),
    setKeepsAlive: (keepsAlive) => {
      if (keepsAlive) child.ref();
      else child.unref();
      const { channel } = child;
      if (keepsAlive) channel?.ref();
      else channel?.unref();
    },
  };
}

/** The descriptor that the process has for the element at `index` of the argument `descriptors` of startProcess(). */
export const inheritedDescriptor = (index: number): { readonly fd: number; readonly shared: false } => ({
  fd: FIRST_INHERITED + index,
  shared: false,
});
