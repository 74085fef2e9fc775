import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { formatCase, formatTable, resultsOf, verdictsOf } from "../../bench/lib/report.js";
import { type CaseResult, chooseSubjects, runCase } from "../../bench/lib/runner.js";
import type { Case, Contender, Limit, Subject, Window } from "../../bench/lib/workload.js";

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
  const plan = { placement: { server: 0, load: 0 }, rounds, measureMs: 2000 };
  return runCase(caseOf(limits, ...subjects), subjects, plan, () => undefined);
}

beforeEach(() => {
  windows.length = 0;
  closed.length = 0;
});

test("runCase() measures the subjects in turn, in every round anew", async () => {
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

test("runCase() refuses a sample that lacks a metric, and closes what it opened", async () => {
  const broken = scripted("broken", "ours", [NaN]);
  await assert.rejects(measured(1, [], scripted("c", "peer", [1]), broken), /broken did not measure cost/);
  assert.deepEqual(closed, ["c", "broken"]);
});

test("runCase() closes what it opened when the next can't be", async () => {
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
  assert.deepEqual(resultsOf("w", result), [
    { workload: "w", subject: "ours", peer: "c", metric: "cost", value: 4, peerValue: 2, ratio: 2 },
    { workload: "w", subject: "ours", peer: "node", metric: "cost", value: 4, peerValue: 8, ratio: 0.5 },
    { workload: "w", subject: "ours-too", peer: "c", metric: "cost", value: 1, peerValue: 2, ratio: 0.5 },
    { workload: "w", subject: "ours-too", peer: "node", metric: "cost", value: 1, peerValue: 8, ratio: 0.125 },
    { workload: "w", subject: "c", peer: "node", metric: "cost", value: 2, peerValue: 8, ratio: 0.25 },
  ]);
});

test("resultsOf() leaves out a ratio to nothing, which JSON could not hold", async () => {
  const result = await measured(1, [], scripted("ours", "ours", [1]), scripted("c", "peer", [0]));
  assert.deepEqual(resultsOf("w", result), []);
  assert.match(formatCase("w", result), /ours +1\.0/);
});

test("verdictsOf() meets a limit at the limit and misses it above", async () => {
  const limit = { metric: "cost", subject: "ours", peer: "c", atMost: 1.5 };
  const at = await measured(1, [limit], scripted("ours", "ours", [3]), scripted("c", "peer", [2]));
  assert.deepEqual(verdictsOf(at), [{ limit, ratio: 1.5, met: true }]);
  const above = await measured(1, [limit], scripted("ours", "ours", [3.1]), scripted("c", "peer", [2]));
  assert.equal(verdictsOf(above)[0]?.met, false);
  assert.match(formatCase("w", above), /limit MISSED {2}ours, cost us: 1\.550 times c, required at most 1\.5/);
});

test("verdictsOf() misses a lower limit below it", async () => {
  const limit = { metric: "cost", subject: "ours", peer: "c", atLeast: 10 };
  const below = await measured(1, [limit], scripted("ours", "ours", [9]), scripted("c", "peer", [1]));
  assert.equal(verdictsOf(below)[0]?.met, false);
  const above = await measured(1, [limit], scripted("ours", "ours", [11]), scripted("c", "peer", [1]));
  assert.equal(verdictsOf(above)[0]?.met, true);
  assert.match(formatCase("w", above), /limit met +ours, cost us: 11\.000 times c, required at least 10/);
});

test("verdictsOf() says nothing on a limit whose subject was not run", async () => {
  const limit = { metric: "cost", subject: "ours", peer: "c", atMost: 1 };
  assert.deepEqual(verdictsOf(await measured(1, [limit], scripted("c", "peer", [2]))), []);
});

test("formatCase() shows medians with their spread", async () => {
  const text = formatCase("w", await measured(3, [], scripted("c", "peer", [3, 1, 2])));
  assert.match(text, /^w: a case$/m);
  assert.match(text, /medians \(and spread\) of 3 rounds of 4 windows/);
  assert.match(text, /c +2\.0 \(1\.0\.\.3\.0\)/);
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
