// Socket.sendfile() and its `onProgress`.

import { AsyncResource } from "node:async_hooks";
import { warnOnRejection } from "../callbacks.js";
import {
  type FileSendProgress,
  fileSendProgress,
  type FileSource,
  PROGRESS_STEP,
  SENDFILE,
  type SendFileOptions,
  sendfileRequest,
} from "../ops/sendfile.js";
import type { WaitQueue } from "../reactor/index.js";
import { signalOf, timeoutOf } from "../wait/waitOptions.js";
import type { PromiseRunner } from "./promiseRunner.js";

export async function sendfile(
  runner: PromiseRunner,
  file: FileSource,
  opts: SendFileOptions | undefined,
): Promise<number> {
  const request = sendfileRequest(file, opts);
  const timeout = timeoutOf(opts, runner.timeout, "sendfile");
  const signal = signalOf(opts, "sendfile");
  signal?.throwIfAborted();
  runner.checkOpen("sendfile");
  const sending = fileSendProgress(runner.calls, request);
  if (sending.until === 0) return 0;
  const { writing } = runner.descriptor;
  const { onProgress } = request;
  const progress =
    onProgress === undefined ? undefined : reportProgress(sending, AsyncResource.bind(onProgress), writing);
  // One operation for the whole file, so that later sends do not come in between.
  await writing.run(runner, SENDFILE, sending, undefined, timeout, signal);
  progress?.finish();
  return sending.sent;
}

/** Calls `onProgress` while the file is sent. An error that `onProgress` throws ends `sendfile`. */
function reportProgress(
  sending: FileSendProgress,
  onProgress: (transferred: number) => void,
  writing: WaitQueue,
): { finish(): void } {
  /** `onProgress` is called next when at least this many bytes were sent. */
  let nextReport = PROGRESS_STEP;
  /** The number that the latest call of `onProgress` got; -1 before the first call. */
  let reported = -1;
  let failure: { readonly error: unknown } | undefined;
  const report = (sent: number): void => {
    if (failure !== undefined) return;
    reported = sent;
    try {
      warnOnRejection("onProgress", onProgress(sent));
    } catch (error) {
      failure = { error };
      writing.withdraw(sending, error);
    }
  };
  sending.onSent = () => {
    const { sent } = sending;
    if (sent < nextReport) return;
    // The next multiple of PROGRESS_STEP.
    nextReport = PROGRESS_STEP * (Math.floor(sent / PROGRESS_STEP) + 1);
    // In a microtask, because onSent() must not run code of users.
    queueMicrotask(() => report(sent));
  };
  return {
    // Reports the final count, and throws the error of `onProgress`.
    finish: () => {
      if (reported !== sending.sent) report(sending.sent);
      if (failure !== undefined) throw failure.error;
    },
  };
}
