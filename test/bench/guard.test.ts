// The comparison with the results of an earlier run: which figures count as worse.

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { formatWorse, readResults, worseThan } from "../../bench/lib/guard.js";
import { UsageError } from "../../bench/lib/options.js";
import type { Result, ResultFile } from "../../bench/lib/report.js";
import { describeMachine } from "../../bench/lib/machine.js";

function row(metric: string, ratio: number, interval: Result["interval"], subject = "berkeley", peer = "c"): Result {
  return { workload: "w", subject, peer, metric, value: ratio, peerValue: 1, ratio, interval, rounds: [[ratio]] };
}

const fileOf = (...results: Result[]): ResultFile => ({ machine: describeMachine(), seed: 1, results });
const metricsOf = (before: Result[], now: Result[]): string[] =>
  worseThan(fileOf(...before), fileOf(...now)).map(({ now: { metric } }) => metric);

test("a cost is worse if its whole interval is above the earlier interval", () => {
  const before = [row("cpu_us", 1.1, [1.05, 1.15])];
  assert.deepEqual(metricsOf(before, [row("cpu_us", 1.2, [1.16, 1.25])]), ["cpu_us"]);
  assert.deepEqual(metricsOf(before, [row("cpu_us", 1.2, [1.14, 1.25])]), [], "the intervals overlap");
  assert.deepEqual(metricsOf(before, [row("cpu_us", 0.9, [0.8, 0.95])]), [], "it is better");
});

test("a rate is worse when it is below", () => {
  const before = [row("echoes_per_second", 0.9, [0.88, 0.92])];
  assert.deepEqual(metricsOf(before, [row("echoes_per_second", 0.8, [0.7, 0.87])]), ["echoes_per_second"]);
  assert.deepEqual(metricsOf(before, [row("echoes_per_second", 1, [0.95, 1.1])]), []);
});

test("rows of only one run, and comparisons of two peers, do not count", () => {
  const before = [row("cpu_us", 1, [1, 1]), row("cpu_us", 1, [1, 1], "c", "node:net")];
  const now = [row("new_us", 5, [5, 5]), row("cpu_us", 5, [5, 5], "c", "node:net"), row("cpu_us", 1, [1, 1])];
  assert.deepEqual(metricsOf(before, now), []);
});

test("one round has no interval, and its estimate stands for it", () => {
  assert.deepEqual(metricsOf([row("cpu_us", 1, null)], [row("cpu_us", 1.01, null)]), ["cpu_us"]);
});

test("the report names workload, subject, peer and figure", () => {
  const worse = worseThan(fileOf(row("cpu_us", 1, [0.9, 1.1])), fileOf(row("cpu_us", 2, [1.9, 2.1])));
  assert.match(formatWorse(worse, "a.json"), /a\.json.*\n +w: berkeley beside c, cpu_us: 2\.000 .*before 1\.000/);
  assert.match(formatWorse([], "a.json"), /nothing is worse than in a\.json/);
});

test("a file that has no results of such a run is refused", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "berkeley-guard-"));
  t.after(() => rm(folder, { recursive: true }));
  const file = join(folder, "results.json");
  await assert.rejects(readResults(file), UsageError);
  for (const text of ["nonsense", "{}", JSON.stringify({ ...fileOf(), versions: {} })]) {
    await writeFile(file, text);
    await assert.rejects(readResults(file), UsageError, text);
  }
  await writeFile(file, JSON.stringify(fileOf(row("cpu_us", 1, null))));
  assert.equal((await readResults(file)).results.length, 1);
});
