import assert from "node:assert/strict";
import { test } from "node:test";

import { UsageError, parseOptions } from "../../bench/lib/options.js";

const known = new Map([
  ["echo", ["ours", "c"]],
  ["bulk", ["ours", "node"]],
]);
const parse = (...args: string[]): ReturnType<typeof parseOptions> => parseOptions(args, known);

test("parseOptions() gives the defaults", () => {
  assert.deepEqual(parse("echo"), {
    workloads: ["echo"],
    subjects: [],
    rounds: undefined,
    seconds: 2,
    seed: 1,
    against: undefined,
    library: undefined,
    node: undefined,
    json: undefined,
    others: undefined,
    installPeers: false,
    list: false,
    help: false,
  });
});

test("parseOptions() takes several workloads and every option", () => {
  const options = parse(
    "bulk",
    "echo",
    "bulk",
    "--rounds",
    "2",
    "--seconds",
    ".25",
    "--seed",
    "77",
    "--json",
    "x.json",
    "--subject",
    "ours",
  );
  assert.deepEqual(options.workloads, ["bulk", "echo"]);
  assert.deepEqual(options.subjects, ["ours"]);
  assert.equal(options.rounds, 2);
  assert.equal(options.seconds, 0.25);
  assert.equal(options.seed, 77);
  assert.equal(options.json, "x.json");
});

test("parseOptions() needs no workload to list or to help", () => {
  assert.equal(parse("--list").list, true);
  assert.equal(parse("--help").help, true);
});

for (const [args, message] of [
  [[], /name of a workload is required, one or more of: echo, bulk/],
  [["nope"], /unknown workload "nope", required one of: echo, bulk/],
  [["echo", "--rounds", "0"], /--rounds requires a whole number from 1, found "0"/],
  [["echo", "--rounds", "2.5"], /--rounds .* found "2.5"/],
  [["echo", "--rounds", ""], /--rounds .* found ""/],
  [["echo", "--seed", "x"], /--seed requires a whole number from 1, found "x"/],
  [["echo", "--seconds", "0"], /--seconds requires a number above 0, found "0"/],
  [["echo", "--seconds", "1e3"], /--seconds .* found "1e3"/],
  [["echo", "--seconds", "."], /--seconds .* found "."/],
  [["echo", "--subject", "node"], /echo has none of the subjects node; it has: ours, c/],
  [["echo", "--subject", "c", "--subject", "rust"], /unknown subject "rust", required one of: ours, c/],
  [["echo", "--library", "out"], /--library requires --against/],
  [["echo", "--fast"], /--fast/],
  [["echo", "--json"], /--json/],
] as const) {
  test(`parseOptions() refuses [${args.join(" ")}]`, () => {
    assert.throws(
      () => parse(...args),
      (error) => error instanceof UsageError && message.test(error.message),
    );
  });
}
