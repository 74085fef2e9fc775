// The progress line: bytes, rate, and the remaining time if the total is known. The line is printed only if standard
// error is a terminal. If standard input or output is a terminal too, the line requires a known total.

import type { Output } from "./output.js";
import { formatBytes, formatClock, formatRate } from "./units.js";

/** Milliseconds before the first progress line. Shorter transfers print no line. */
const FIRST_DELAY = 500;
/** Milliseconds between two updates. */
const INTERVAL = 200;
const BAR_WIDTH = 24;

export class Progress {
  readonly #output: Output;
  readonly #total: number | undefined;
  readonly #began = performance.now();
  readonly #timer: NodeJS.Timeout | undefined;
  #done = 0;

  /** @param total number of bytes, if it is known */
  constructor(output: Output, total?: number) {
    this.#output = output;
    this.#total = total;
    if (!process.stderr.isTTY || output.quiet || output.json) return;
    // Without a total, the data may be typed or printed on the terminal, and the line would appear between this data.
    const isInteractive = process.stdin.isTTY || output.isTerminal;
    if (isInteractive && total === undefined) return;
    this.#timer = setInterval(() => this.#show(), INTERVAL);
    this.#timer.unref();
  }

  /** Adds to the number of bytes that are done. */
  add(bytes: number): void {
    this.#done += bytes;
  }

  /** Sets the number of bytes that are done. */
  set(bytes: number): void {
    this.#done = bytes;
  }

  /** Removes the line. */
  end(): void {
    clearInterval(this.#timer);
    this.#output.showProgress("");
  }

  #show(): void {
    const elapsed = performance.now() - this.#began;
    if (elapsed < FIRST_DELAY) return;
    const columns = process.stderr.columns || 80;
    const text = progressLine(this.#done, elapsed, this.#total);
    // showProgress() removes only one row of the terminal. So the line must be shorter than a row.
    this.#output.showProgress(text.slice(0, columns - 1));
  }
}

/**
 * The text of the line, such as `  42%  [==========>           ]  420 MB  84.0 MB/s  0:07 left`.
 *
 * @param done number of bytes
 * @param elapsed ms
 * @param total number of bytes, if it is known
 */
export function progressLine(done: number, elapsed: number, total?: number): string {
  const facts = [formatBytes(done), formatRate(done, elapsed)];
  if (total === undefined || total === 0) return [...facts, formatClock(elapsed)].join("  ");
  const fraction = Math.min(1, done / total);
  if (done > 0) facts.push(`${formatClock((elapsed * (1 - fraction)) / fraction)} left`);
  const filled = Math.round(fraction * BAR_WIDTH);
  const bar = `${"=".repeat(filled)}${filled < BAR_WIDTH ? ">" : ""}`.slice(0, BAR_WIDTH).padEnd(BAR_WIDTH);
  return `${String(Math.floor(fraction * 100)).padStart(3)}%  [${bar}]  ${facts.join("  ")}`;
}
