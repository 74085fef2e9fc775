import assert from "node:assert/strict";
import { test } from "node:test";

import {
  allowedCores,
  chooseCores,
  disturbance,
  foreignShare,
  parseCoreList,
  parseCpu,
} from "../../bench/lib/machine.js";
import { usageIn } from "../../bench/lib/usage.js";

test("parseCoreList() reads single cores and ranges", () => {
  assert.deepEqual(parseCoreList("0\n"), [0]);
  assert.deepEqual(parseCoreList("0-2,5,7-8"), [0, 1, 2, 5, 7, 8]);
});

test("parseCoreList() refuses text that the kernel would not print", () => {
  assert.throws(() => parseCoreList("0-"), /found "0-"/);
});

test("allowedCores() names at least one core", () => {
  assert.ok(allowedCores().length >= 1);
});

test("chooseCores() separates server and load where it can", () => {
  assert.deepEqual(chooseCores([0, 1]), { server: 1, load: 0 });
  assert.deepEqual(chooseCores([2, 3, 5]), { server: 5, load: 3 });
  assert.deepEqual(chooseCores([4]), { server: 4, load: 4 });
});

test("parseCpu() counts busy and idle ticks, and our own with those of ended children", () => {
  const stat = "cpu  1 2 4 1000 500 8 16 32 0 0\ncpu0 9 9 9 9 9 9 9 9 0 0\n";
  const self = "7 (a ) name) R 1 2 3 4 5 6 7 8 9 10 100 200 400 800 20 0 11";
  assert.deepEqual(parseCpu(stat, self), { all: 1563, busy: 63, own: 1500, user: 35, ownUser: 500 });
});

test("foreignShare() is the busy time of other processes", () => {
  const from = { all: 1000, busy: 100, own: 50, user: 60, ownUser: 30 };
  assert.equal(foreignShare(from, { ...from, all: 1200, busy: 200, own: 100 }), 0.25);
  assert.equal(foreignShare(from, { ...from, all: 1200, busy: 200, own: 151 }), 0);
  assert.equal(foreignShare(from, from), 0);
});

test("disturbance() is what others used in user mode", () => {
  const from = { all: 1000, busy: 100, own: 50, user: 60, ownUser: 30 };
  // The kernel has used 80 ticks, which belong to no process.
  assert.equal(disturbance(from, { all: 1200, busy: 200, own: 60, user: 80, ownUser: 40 }), 0.05);
  assert.equal(disturbance(from, from), 0);
});

test("usageIn() divides the precise total in the proportion of the ticks", () => {
  assert.deepEqual(usageIn({ elapsedNs: 9, cpuNs: 1000, userTicks: 1, systemTicks: 3 }), {
    elapsedNs: 9,
    cpuNs: 1000,
    userNs: 250,
    systemNs: 750,
  });
  assert.equal(usageIn({ elapsedNs: 9, cpuNs: 1000, userTicks: 0, systemTicks: 0 }).systemNs, 1000);
});

test("usageIn() refuses a line without a figure", () => {
  assert.throws(() => usageIn({ elapsedNs: 9 }), /"cpuNs"/);
});
