// sendfile(), blocking.

import { warnOnRejection } from "../callbacks.js";
import {
  type FileSendProgress,
  fileSendProgress,
  type FileSource,
  PROGRESS_STEP,
  SENDFILE,
  sendfileRequest,
} from "../ops/sendfile.js";
import { POLLOUT } from "../sys/constants.js";
import { timeoutError } from "../wait/localError.js";
import type { BlockingRunner } from "./blockingRunner.js";
import { type SendFileOptions, blockingTimeoutOf } from "./syncOptions.js";

export function sendfile(runner: BlockingRunner, file: FileSource, opts: SendFileOptions | undefined): number {
  const request = sendfileRequest(file, opts);
  const { onProgress } = request;
  const timeout = blockingTimeoutOf(opts, runner.timeout, "sendfile");
  runner.checkOpen("sendfile");
  const sending = fileSendProgress(runner.calls, request);
  if (sending.until === 0) return 0;
  if (onProgress === undefined) runner.run(SENDFILE, sending, undefined, POLLOUT, timeout);
  else sendInSteps(runner, sending, onProgress, timeout);
  return sending.sent;
}

/** Runs the operation once for each step of the progress, so that `onProgress` is called between the runs. */
function sendInSteps(
  runner: BlockingRunner,
  sending: FileSendProgress,
  onProgress: (transferred: number) => void,
  timeout: number | null,
): void {
  const total = sending.until;
  const deadline = timeout === null ? null : performance.now() + timeout;
  sending.until = 0;
  do {
    const timeLeft = deadline === null ? null : deadline - performance.now();
    // run() tries once even after the deadline, so without this check each step could still succeed.
    if (timeLeft !== null && timeLeft <= 0 && sending.sent > 0) {
      throw timeoutError("sendfile", { transferred: sending.sent });
    }
    sending.until = Math.min(total, sending.until + PROGRESS_STEP);
    runner.run(SENDFILE, sending, undefined, POLLOUT, timeLeft);
    warnOnRejection("onProgress", onProgress(sending.sent));
  } while (!sending.ended && sending.sent < total);
}
