// --watch: prints the sockets again and again, until Ctrl-C or until standard output is closed.

import { setTimeout as sleep } from "node:timers/promises";

import type { Output } from "../frame/output.js";

const CLEAR_SCREEN = "\u001b[H\u001b[2J";

/** Calls `show` again and again, with pauses of `interval` ms. On a terminal, the output replaces the previous one. */
export async function watch(
  output: Output,
  interval: number,
  signal: AbortSignal,
  show: () => Promise<void>,
): Promise<void> {
  const outputClosed = new AbortController();
  output.onOutputClosed(() => outputClosed.abort());
  const ending = AbortSignal.any([signal, outputClosed.signal]);
  try {
    for (let isFirst = true; ; isFirst = false) {
      if (output.isTerminal && !output.json) process.stdout.write(CLEAR_SCREEN);
      // An empty line separates the output from the previous one.
      else if (!isFirst && !output.json) output.line();
      await show();
      await sleep(interval, undefined, { signal: ending });
    }
  } catch (error) {
    if (!ending.aborted) throw error;
  }
}
