// Prints the live line of a benchmark, and its results with a histogram.

import type { Output } from "../frame/output.js";
import { formatBytes, formatClock, formatRate, formatTime, plural } from "../frame/units.js";
import { PERCENTILES } from "./latencies.js";
import type { Load, LoadPlan } from "./load.js";

/** Milliseconds between two updates of the live line. */
const INTERVAL = 200;
const BAR_WIDTH = 40;
/** If this program uses more than this fraction of a core, it may be slower than the server. */
const FULL_CORE = 0.9;

const perSecond = (count: number, milliseconds: number): number =>
  milliseconds <= 0 ? 0 : (count * 1000) / milliseconds;

/** Shows the live line on a terminal. Returns the function that removes it. */
export function showLive(output: Output, load: Load): () => void {
  if (!process.stderr.isTTY || output.quiet || output.json) return () => undefined;
  const timer = setInterval(() => {
    const { runningTime, turns, latencies } = load;
    const failed = load.lost + [...load.errors.values()].reduce((sum, count) => sum + count, 0);
    const facts = [formatClock(runningTime), `${Math.round(perSecond(turns, runningTime))}/s`];
    facts.push(`p50 ${formatTime(latencies.percentile(50))}`, `p99 ${formatTime(latencies.percentile(99))}`);
    if (failed > 0) facts.push(`${failed} failed`);
    output.showProgress(facts.join("  ").slice(0, (process.stderr.columns || 80) - 1));
  }, INTERVAL);
  timer.unref();
  return () => {
    clearInterval(timer);
    output.showProgress("");
  };
}

/** Prints the results of the load. */
export function report(output: Output, plan: LoadPlan, load: Load): void {
  const { turns, elapsed, sent, received, lost, missed, latencies } = load;
  const errors = Object.fromEntries(load.errors);
  const { mode, connections, rate, endpoint } = plan;
  const result = {
    mode: endpoint.scheme === "udp" ? "udp" : mode,
    loop: rate === undefined ? "closed" : "open",
    ...(rate === undefined ? {} : { rate }),
    connections,
    seconds: Number((elapsed / 1000).toFixed(3)),
    turns,
    perSecond: Number(perSecond(turns, elapsed).toFixed(1)),
    sent,
    received,
    lost,
    missed,
    errors,
    cpu: Number(load.cpu.toFixed(3)),
    latency: latencies.summary(),
  };
  output.result(result, () => {
    const lines = [
      `${turns} turns in ${formatTime(elapsed)}, ${result.perSecond} a second, by ${plural(connections, "connection")}`,
      `sent ${formatBytes(sent)} (${formatRate(sent, elapsed)}), received ${formatBytes(received)} ` +
        `(${formatRate(received, elapsed)})`,
    ];
    if (lost > 0) lines.push(`${plural(lost, "datagram")} without an answer`);
    for (const [code, count] of load.errors) lines.push(`${plural(count, "turn")} failed with ${code}`);
    lines.push(...cpuLines(load.cpu));
    lines.push(loopText(rate, missed), "", ...percentiles(latencies.summary()), "", ...histogram(output, load));
    return lines.join("\n");
  });
}

/** One line if this program used almost a whole core, otherwise none. */
export function cpuLines(cpu: number): string[] {
  if (cpu < FULL_CORE) return [];
  return [`this command used ${Math.round(cpu * 100)} % of a core: the server may be able to do more`];
}

function loopText(rate: number | undefined, missed: number): string {
  if (rate === undefined) {
    return "closed loop: a turn waits for the one before, so turns that a stall held back are missing in the latencies";
  }
  const late = missed === 0 ? "" : `; ${plural(missed, "turn")} were due and had not begun at the end`;
  return (
    `open loop of ${rate} a second: latencies count from the time at which a turn was due, without ` +
    `coordinated omission${late}`
  );
}

function percentiles(summary: Record<string, number>): string[] {
  const row = (name: string, key: string): string => `${name.padStart(8)}  ${formatTime(summary[key] ?? 0)}`;
  return [
    row("min", "min"),
    ...PERCENTILES.map((percent) => row(`${percent} %`, `p${percent}`)),
    row("max", "max"),
    row("mean", "mean"),
  ];
}

function histogram(output: Output, { latencies }: Load): string[] {
  const rows = latencies.rows();
  const highestCount = Math.max(...rows.map(({ count }) => count));
  return rows.map(({ to, count }) => {
    const bar = "#".repeat(Math.ceil((count / highestCount) * BAR_WIDTH)).padEnd(BAR_WIDTH);
    return `${`< ${formatTime(to)}`.padStart(10)}  ${output.style("cyan", bar)}  ${count}`;
  });
}
