import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import type { Placement } from "../../bench/lib/machine.js";
import {
  analyse,
  figuresOf,
  formatCase,
  formatTable,
  judgementsOf,
  resultsOf,
  verdictsOf,
} from "../../bench/lib/report.js";
import {
  chooseSubjects,
  type Plan,
  presentSubjects,
  runCase,
  type CaseResult,
  windowOf,
} from "../../bench/lib/runner.js";
import { bootstrapInterval } from "../../bench/lib/statistics.js";
import type { Case, Contender, Limit, Subject, Window } from "../../bench/lib/workload.js";

const placement: Placement = { server: 0, load: 0, site: { node: "node", bench: "/bench", shipped: "/shipped" } };
const windows: Window[] = [];
const closed: string[] = [];

/** A subject that yields the given costs, one per window. */
function scripted(name: string, role: Subject["role"], costs: readonly number[]): Subject {
  let next = 0;
  const contender: Contender = {
    measure: async (window) => {
      windows.push(window);
      return { cost: costs[next++ % costs.length] as number };
    },
    [Symbol.asyncDispose]: async () => void closed.push(name),
  };
  return { name, role, open: async () => contender };
}

function caseOf(limits: readonly Limit[], ...subjects: Subject[]): Case {
  return { title: "a case", metrics: [{ name: "cost", label: "cost us", digits: 1 }], subjects, limits };
}

async function measured(rounds: number, limits: readonly Limit[], ...subjects: Subject[]): Promise<CaseResult> {
  const plan = { placement, rounds, measureMs: 2000 };
  return runCase(caseOf(limits, ...subjects), subjects, plan, () => undefined);
}

beforeEach(() => {
  windows.length = 0;
  closed.length = 0;
});

test("runCase() measures the subjects in turn, and starts them again in every round", async () => {
  const order: string[] = [];
  const subject = (name: string): Subject => ({
    name,
    role: "ours",
    open: async () => {
      order.push(`open ${name}`);
      return {
        measure: async () => {
          order.push(name);
          return { cost: order.length };
        },
        [Symbol.asyncDispose]: async () => void order.push(`close ${name}`),
      };
    },
  });
  await measured(2, [], subject("a"), subject("b"));
  const round = ["open a", "open b", "a", "b", "a", "b", "a", "b", "a", "b", "close a", "close b"];
  assert.deepEqual(order, [...round, ...round]);
});

test("runCase() warms a new process up for long, and an old one shortly", async () => {
  await measured(1, [], scripted("c", "peer", [1]));
  assert.deepEqual(
    windows,
    [1000, 100, 100, 100].map((warmupMs) => ({ warmupMs, measureMs: 500 })),
  );
});

test("windowOf() warms up at least as long as the case requires", () => {
  const which = { title: "", metrics: [], subjects: [], limits: [], windows: 2, leastWarmupMs: 800 };
  const plan = { measureMs: 2000 } as Plan;
  assert.deepEqual(windowOf(which, plan, true), { warmupMs: 1000, measureMs: 1000 });
  assert.deepEqual(windowOf(which, plan, false), { warmupMs: 800, measureMs: 1000 });
});

test("runCase() refuses a sample that lacks a metric, and closes its contenders", async () => {
  const broken = scripted("broken", "ours", [NaN]);
  await assert.rejects(measured(1, [], scripted("c", "peer", [1]), broken), /broken did not measure cost/);
  assert.deepEqual(closed, ["c", "broken"]);
});

test("runCase() continues without a peer of another runtime that fails, and names it", async () => {
  const subject = scripted("a", "ours", [1]);
  let turns = 0;
  const peer: Subject = {
    ...scripted("other", "peer", [1]),
    absent: async () => undefined,
    open: async () => ({
      measure: async () => {
        if (++turns === 6) throw new Error("the connection was reset");
        return { cost: 2 };
      },
      [Symbol.asyncDispose]: async () => void closed.push("other"),
    }),
  };
  const { runs, failed, rounds, dropped } = await measured(3, [], subject, peer);
  assert.deepEqual(
    runs.map(({ subject: { name }, samples }) => [name, samples.length]),
    [["a", 12]],
  );
  assert.deepEqual(failed, ["skipped: a case: other: the connection was reset"]);
  assert.deepEqual([rounds, dropped], [3, 0]);
  assert.equal(closed.filter((name) => name === "other").length, 2);
  turns = 5;
  const alone = await measured(3, [], peer);
  assert.deepEqual([alone.runs, alone.failed.length], [[], 1]);
  const needed: Subject = { ...peer, role: "ours" };
  turns = 0;
  await assert.rejects(measured(3, [], subject, needed), /other: the connection was reset/);
});

test("runCase() closes the open contenders if the next one can't be opened", async () => {
  const broken: Subject = {
    name: "broken",
    role: "ours",
    open: async () => Promise.reject(new Error("no such server")),
  };
  await assert.rejects(measured(1, [], scripted("c", "peer", [1]), broken), /no such server/);
  assert.deepEqual(closed, ["c"]);
});

test("chooseSubjects() leaves variants out unless they are named", () => {
  const all = [scripted("ours", "ours", []), scripted("c", "peer", []), scripted("c2", "variant", [])];
  const names = (chosen: readonly string[]): string[] => chooseSubjects(all, chosen).map(({ name }) => name);
  assert.deepEqual(names([]), ["ours", "c"]);
  assert.deepEqual(names(["c2", "c"]), ["c", "c2"]);
});

test("resultsOf() has one row per pair and metric, in the shape of the JSON file", async () => {
  const result = await measured(
    1,
    [],
    scripted("ours", "ours", [2, 4, 4, 20]),
    scripted("ours-too", "ours", [1]),
    scripted("c", "peer", [2, 2, 2, 10]),
    scripted("node", "peer", [8]),
  );
  const common = { workload: "w", metric: "cost", interval: null };
  assert.deepEqual(resultsOf(analyse("w", result)), [
    { ...common, subject: "ours", peer: "c", value: 4, peerValue: 2, ratio: 2, rounds: [[1, 2, 2, 2]] },
    { ...common, subject: "ours", peer: "node", value: 4, peerValue: 8, ratio: 0.5, rounds: [[0.25, 0.5, 0.5, 2.5]] },
    { ...common, subject: "ours-too", peer: "c", value: 1, peerValue: 2, ratio: 0.5, rounds: [[0.5, 0.5, 0.5, 0.1]] },
    {
      ...common,
      subject: "ours-too",
      peer: "node",
      value: 1,
      peerValue: 8,
      ratio: 0.125,
      rounds: [[0.125, 0.125, 0.125, 0.125]],
    },
    { ...common, subject: "c", peer: "node", value: 2, peerValue: 8, ratio: 0.25, rounds: [[0.25, 0.25, 0.25, 1.25]] },
  ]);
});

test("resultsOf() leaves out a ratio to nothing, which JSON could not hold", async () => {
  const result = await measured(1, [], scripted("ours", "ours", [1]), scripted("c", "peer", [0]));
  assert.deepEqual(resultsOf(analyse("w", result)), []);
  assert.match(formatCase(analyse("w", result)), /ours +1\.0/);
});

test("verdictsOf() accepts a value at the limit and refuses one above it", async () => {
  const limit = { metric: "cost", subject: "ours", peer: "c", atMost: 1.5 };
  const at = await measured(1, [limit], scripted("ours", "ours", [3]), scripted("c", "peer", [2]));
  assert.deepEqual(verdictsOf(analyse("w", at)), [{ limit, estimate: 1.5, interval: undefined, met: true }]);
  const above = await measured(1, [limit], scripted("ours", "ours", [3.1]), scripted("c", "peer", [2]));
  assert.equal(verdictsOf(analyse("w", above))[0]?.met, false);
  assert.match(formatCase(analyse("w", above)), /limit MISSED {2}ours, cost us: 1\.550 times c, required at most 1\.5/);
});

test("verdictsOf() misses a lower limit below it", async () => {
  const limit = { metric: "cost", subject: "ours", peer: "c", atLeast: 10 };
  const below = await measured(1, [limit], scripted("ours", "ours", [9]), scripted("c", "peer", [1]));
  assert.equal(verdictsOf(analyse("w", below))[0]?.met, false);
  const above = await measured(1, [limit], scripted("ours", "ours", [11]), scripted("c", "peer", [1]));
  assert.equal(verdictsOf(analyse("w", above))[0]?.met, true);
  assert.match(formatCase(analyse("w", above)), /limit met +ours, cost us: 11\.000 times c, required at least 10/);
});

test("verdictsOf() says nothing on a limit whose subject was not run", async () => {
  const limit = { metric: "cost", subject: "ours", peer: "c", atMost: 1 };
  assert.deepEqual(verdictsOf(analyse("w", await measured(1, [limit], scripted("c", "peer", [2])))), []);
});

test("formatCase() shows medians with their spread", async () => {
  const text = formatCase(analyse("w", await measured(3, [], scripted("c", "peer", [3, 1, 2]))));
  assert.match(text, /^w: a case$/m);
  assert.match(text, /medians \(and spread\) of 3 rounds of 4 windows/);
  assert.match(text, /c +2\.0 \(1\.0\.\.3\.0\)/);
});

test("resultsOf() keeps the ratios of each round, and the interval follows from them and the seed", async () => {
  const result = await measured(3, [], scripted("ours", "ours", [2, 3, 4, 5, 6]), scripted("c", "peer", [1]));
  const [row] = resultsOf(analyse("w", result, 9));
  assert.deepEqual(row?.rounds, [
    [2, 3, 4, 5],
    [6, 2, 3, 4],
    [5, 6, 2, 3],
  ]);
  assert.deepEqual(row?.interval, bootstrapInterval(row?.rounds ?? [], 9));
});

test("formatCase() prints the interval after each ratio and each verdict", async () => {
  const limit = { metric: "cost", subject: "ours", peer: "c", atMost: 1 };
  const result = await measured(2, [limit], scripted("ours", "ours", [2]), scripted("c", "peer", [1]));
  const text = formatCase(analyse("w", result));
  assert.match(text, /ratios \(median of the ratios of each turn\) \[95 % bootstrap interval of it, n = 2 rounds\]/);
  assert.match(text, /ours \/ c +2\.000 \[2\.000, 2\.000\]/);
  assert.match(text, /MISSED {2}ours, cost us: 2\.000 \[2\.000, 2\.000\] times c/);
});

test("formatCase() says that one round has no interval", async () => {
  const text = formatCase(
    analyse("w", await measured(1, [], scripted("ours", "ours", [2]), scripted("c", "peer", [1]))),
  );
  assert.match(text, /n = 1 round, so no interval/);
  assert.match(text, /ours \/ c +2\.000$/m);
});

test("a case can be compared by difference, with windows and limits of its own", async () => {
  const subjects = [scripted("ours", "ours", [25, 31]), scripted("empty", "peer", [20, 20])];
  const limits = [{ metric: "cost", subject: "ours", peer: "empty", atMost: 8 }];
  const which: Case = { ...caseOf(limits, ...subjects), comparison: "difference", windows: 1 };
  const plan = { placement, rounds: 2, measureMs: 2000 };
  const analysis = analyse("w", await runCase(which, subjects, plan, () => undefined));
  const [row] = resultsOf(analysis);
  assert.deepEqual([row?.difference, row?.ratio, row?.rounds], [8, undefined, [[5], [11]]]);
  const text = formatCase(analysis);
  assert.match(text, /of 2 rounds of 1 window$/m);
  assert.match(text, /ours - empty +\+8\.0 \[\+5\.0, \+11\.0\]/);
  assert.match(text, /limit met +ours, cost us: \+8\.0 \[.*\] over empty, required at most 8/);
});

test("formatTable() aligns the first column to the left and the rest to the right", () => {
  assert.equal(
    formatTable([
      ["", "a"],
      ["name", "1"],
      ["n", "100"],
    ]),
    ["        a", "name    1", "n     100"].join("\n"),
  );
});

test("a limit can be on the figure itself", async () => {
  const limit = { metric: "cost", subject: "ours", atMost: 3 };
  const result = await measured(2, [limit], scripted("ours", "ours", [3]), scripted("c", "peer", [2]));
  const analysis = analyse("w", result);
  assert.deepEqual(
    verdictsOf(analysis).map(({ estimate, met }) => [estimate, met]),
    [[3, true]],
  );
  assert.match(formatCase(analysis), /limit met +ours, cost us: 3\.0 \[3\.0, 3\.0\], required at most 3/);
  const [judgement] = judgementsOf(analysis);
  assert.deepEqual([judgement?.peer, judgement?.required, judgement?.met], [null, "at most 3", true]);
  const above = await measured(1, [limit], scripted("ours", "ours", [3.1]));
  assert.deepEqual(
    verdictsOf(analyse("w", above)).map(({ met }) => met),
    [false],
  );
});

test("figuresOf() gives the median of each subject with its interval", async () => {
  const result = await measured(2, [], scripted("ours", "ours", [1, 2, 3, 4]), scripted("c", "peer", [2]));
  assert.deepEqual(
    figuresOf(analyse("w", result)).map(({ subject, value, interval }) => [subject, value, interval]),
    [
      ["ours", 2.5, [2.5, 2.5]],
      ["c", 2, [2, 2]],
    ],
  );
});

test("a subject that can not take part is left out, with a line that says why", async () => {
  const lines: string[] = [];
  const missing: Subject = { ...scripted("missing", "peer", [1]), absent: async () => "it is not installed" };
  const present = await presentSubjects([scripted("c", "peer", [1]), missing], (line) => lines.push(line));
  assert.deepEqual(
    present.map(({ name }) => name),
    ["c"],
  );
  assert.deepEqual(lines, ["skipped: missing: it is not installed"]);
});

test("rounds in which others used the machine are measured again, and end the run if there are too many", async () => {
  const subject = scripted("ours", "ours", [1]);
  const plan = { placement, rounds: 2, measureMs: 2000 };
  const quiet = await runCase(caseOf([], subject), [subject], { ...plan, othersAtMost: 1 }, () => undefined);
  assert.deepEqual([quiet.dropped, quiet.runs[0]?.samples.length], [0, 8]);
  // No share is below a negative limit.
  const noisy = runCase(caseOf([], subject), [subject], { ...plan, othersAtMost: -1 }, () => undefined);
  await assert.rejects(noisy, /in 3 rounds; a quiet machine is required/);
});
