import assert from "node:assert/strict";
import { test } from "node:test";

import {
  type Versions,
  analyseVersions,
  formatVersions,
  isOurs,
  orderOf,
  runVersions,
  tryVersions,
} from "../../bench/lib/against.js";
import type { Placement } from "../../bench/lib/machine.js";
import { resultsOf } from "../../bench/lib/report.js";
import type { Plan } from "../../bench/lib/runner.js";
import type { Case, Sample, Subject } from "../../bench/lib/workload.js";

const versions: Versions = {
  new: { path: "/lib/new", version: "2.0.0", bench: "/made/new/bench" },
  old: { path: "/lib/old.tgz", version: "1.0.0", bench: "/made/old/bench" },
};
const placement: Placement = { server: 0, load: 0, site: { node: "node", bench: "/out", shipped: "/packed" } };
const quiet = (): void => undefined;
const planOf = (rounds: number): Plan => ({ placement, rounds, measureMs: 2000 });

/** A subject whose sample depends on the folder of its scripts; `events` gets what happens. */
function subject(
  name: string,
  role: Subject["role"],
  sampleIn: (bench: string) => Sample,
  events: string[] = [],
): Subject {
  return {
    name,
    role,
    open: async ({ site }) => {
      assert.ok(site.bench === "/out" || site.bench === site.shipped);
      events.push(`open ${name} ${site.bench}`);
      return {
        measure: async () => {
          events.push(`${name} ${site.bench}`);
          return sampleIn(site.bench);
        },
        [Symbol.asyncDispose]: async () => void events.push(`close ${name} ${site.bench}`),
      };
    },
  };
}

const metrics = [
  { name: "cost", label: "CPU us/op", digits: 1 },
  { name: "user", label: "user", digits: 1, detail: true },
  { name: "rate", label: "MB/s", digits: 0 },
];
const caseOf = (...subjects: Subject[]): Case => ({ title: "a case", metrics, subjects, limits: [] });
const sample = (cost: number): Sample => ({ cost, user: cost / 2, rate: 1000 / cost });

test("orderOf() goes new, old, old, new, and begins with the other one in the next round", () => {
  const order = (round: number): string =>
    [0, 1, 2, 3].flatMap((turn) => orderOf(round, turn).map(([c]) => c)).join("");
  assert.equal(order(0), "noonnoon");
  assert.equal(order(1), "onnoonno");
});

test("runVersions() measures both versions of a subject one after the other, and C once per round", async () => {
  const events: string[] = [];
  const ours = subject("berkeley", "ours", () => sample(2), events);
  const sending = subject("berkeley-send", "ours", () => sample(3), events);
  const c = subject("c", "peer", () => sample(1), events);
  const node = subject("node:net", "peer", () => sample(9), events);
  const which = caseOf(ours, sending, c, node);
  const { runs, control } = await runVersions(which, [ours, sending], versions, planOf(2), quiet);
  assert.deepEqual(
    runs.map((run) => [run.subject.name, run.new.length, run.old.length]),
    [
      ["berkeley", 8, 8],
      ["berkeley-send", 8, 8],
    ],
  );
  assert.equal(control.length, 2);
  const measured = events.filter((event) => !/^(open|close) /.test(event));
  const turn = (first: string, second: string): string[] =>
    ["berkeley", "berkeley-send"].flatMap((name) => [`${name} /made/${first}/bench`, `${name} /made/${second}/bench`]);
  const newFirst = turn("new", "old");
  const oldFirst = turn("old", "new");
  assert.deepEqual(measured, [
    ...[newFirst, oldFirst, newFirst, oldFirst, ["c /out"]].flat(),
    ...[oldFirst, newFirst, oldFirst, newFirst, ["c /out"]].flat(),
  ]);
  const opened = events.filter((event) => event.startsWith("open ")).map((event) => event.slice(5));
  const closed = events.filter((event) => event.startsWith("close ")).map((event) => event.slice(6));
  assert.deepEqual(closed, opened);
  assert.ok(!opened.some((name) => name.startsWith("node:net")));
});

test("analyseVersions() compares each subject with its own old version only, new / old", async () => {
  const ours = subject("berkeley", "ours", (bench) => sample(bench === "/made/new/bench" ? 3 : 2));
  const sending = subject("berkeley-send", "ours", () => sample(5));
  const measured = await runVersions(caseOf(ours, sending), [ours, sending], versions, planOf(3), quiet);
  const rows = resultsOf(analyseVersions("w", measured, 1));
  assert.deepEqual(
    rows.map(({ subject: name, peer, metric, ratio }) => [name, peer, metric, ratio?.toFixed(2)]),
    ["berkeley", "berkeley-send"].flatMap((name) =>
      metrics.map(({ name: metric }) => {
        const ratios = metric === "rate" ? "0.67" : "1.50";
        return [name, `${name} (old)`, metric, name === "berkeley" ? ratios : "1.00"];
      }),
    ),
  );
  assert.deepEqual(rows[0]?.interval, [1.5, 1.5]);
});

test("formatVersions() prints the ratio with interval and spread, without the details of a figure", async () => {
  let turn = 0;
  const ours = subject("berkeley", "ours", (bench) => sample(bench === "/made/new/bench" ? 2 + (turn++ % 2) : 2));
  const c = subject("c", "peer", () => sample(1));
  const measured = await runVersions(caseOf(ours, c), [ours], versions, planOf(2), quiet);
  const text = formatVersions(analyseVersions("w", measured, 1), measured);
  assert.match(text, /^w: a case$/m);
  assert.match(text, /2 rounds of 4 turns/);
  assert.match(text, /new +old +new \/ old +spread of the turns$/m);
  const cells =
    "2\\.5 \\(2\\.0\\.\\.3\\.0\\) +2\\.0 \\(2\\.0\\.\\.2\\.0\\) +1\\.250 \\[1\\.250, 1\\.250\\] +\\(1\\.000\\.\\.1\\.500\\)";
  assert.match(text, new RegExp(`^ +berkeley, CPU us/op +${cells}$`, "m"));
  assert.match(text, /^ +berkeley, MB\/s /m);
  assert.doesNotMatch(text, /user/);
  assert.match(text, /control: c, CPU us\/op: 1\.0 \(1\.0\.\.1\.0\), most \/ least 1\.000/);
});

test("tryVersions() names the subject and the library that fails, and closes its contenders", async () => {
  const events: string[] = [];
  const ours = subject(
    "berkeley",
    "ours",
    (bench) => {
      if (bench === "/made/old/bench") throw new Error("no connection");
      return sample(1);
    },
    events,
  );
  await assert.rejects(tryVersions(caseOf(ours), [ours], versions, planOf(1)), {
    message: "berkeley of /lib/old.tgz: no connection",
  });
  assert.equal(events.filter((event) => event.startsWith("close ")).length, 2);
});

test("isOurs() takes our subjects and our variants, not those in C", () => {
  const names = [
    subject("berkeley", "ours", () => sample(1)),
    subject("berkeley-pipe", "variant", () => sample(1)),
    subject("c", "peer", () => sample(1)),
    subject("c-lt-rw", "variant", () => sample(1)),
  ]
    .filter(isOurs)
    .map(({ name }) => name);
  assert.deepEqual(names, ["berkeley", "berkeley-pipe"]);
});
