// Prints the results of a scan: a line for each port, the progress, and the totals.

import type { Output } from "../frame/output.js";
import { formatClock, formatTime, plural } from "../frame/units.js";
import { serviceOf } from "./services.js";
import type { PortResult, PortState } from "./scan.js";

/** Milliseconds between two updates of the progress line. */
const INTERVAL = 200;
const STYLES = { open: "green", closed: "dim", filtered: "yellow" } as const;

export class ScanView {
  readonly #output: Output;
  readonly #total: number;
  readonly #showAll: boolean;
  readonly #began = performance.now();
  readonly #counts: Record<PortState, number> = { open: 0, closed: 0, filtered: 0 };
  readonly #timer: NodeJS.Timeout | undefined;
  #done = 0;

  /**
   * @param total number of ports
   * @param options `showAll`: print closed and filtered ports too
   */
  constructor(output: Output, total: number, { showAll }: { readonly showAll: boolean }) {
    this.#output = output;
    this.#total = total;
    this.#showAll = showAll;
    if (!process.stderr.isTTY || output.quiet || output.json) return;
    this.#timer = setInterval(() => this.#showProgress(), INTERVAL);
    this.#timer.unref();
  }

  /** Counts a result, and prints its line. */
  add(result: PortResult): void {
    const { port, state, time, error } = result;
    this.#done++;
    this.#counts[state]++;
    if (state !== "open" && !this.#showAll) return;
    const service = serviceOf(port);
    this.#output.result({ ...result, ...(service === "" ? {} : { service }) }, () => {
      const name = this.#output.style(STYLES[state], state.padEnd(8));
      const facts = [service, formatTime(time), ...(error === undefined ? [] : [error])].filter((fact) => fact !== "");
      return `${String(port).padStart(5)}  ${name}  ${facts.join("  ")}`;
    });
  }

  /** Removes the progress line, and prints the totals. */
  end(host: string): void {
    clearInterval(this.#timer);
    this.#output.showProgress("");
    if (this.#output.json) return;
    const { open, closed, filtered } = this.#counts;
    const ports =
      this.#done < this.#total ? `${this.#done} of ${plural(this.#total, "port")}` : plural(this.#done, "port");
    const took = formatTime(performance.now() - this.#began);
    this.#output.note(`${host}: ${ports} in ${took}, ${open} open, ${closed} closed, ${filtered} filtered`);
  }

  #showProgress(): void {
    const elapsed = performance.now() - this.#began;
    const left = this.#done === 0 ? "" : `, ${formatClock((elapsed * (this.#total - this.#done)) / this.#done)} left`;
    const text = `${this.#done} of ${this.#total} ports, ${this.#counts.open} open${left}`;
    this.#output.showProgress(text.slice(0, (process.stderr.columns || 80) - 1));
  }
}
