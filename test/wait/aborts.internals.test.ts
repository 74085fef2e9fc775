// One listener per signal, for all who wait under it.

import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { type AbortListener, offAbort, onAbort } from "#berkeley/wait/aborts.js";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

const listeners = (signal: AbortSignal): number => getEventListeners(signal, "abort").length;

test("onAbort() tells everybody, in the order in which they came, with the reason", () => {
  const controller = new AbortController();
  const { signal } = controller;
  const heard: unknown[] = [];
  for (let i = 0; i < 20; i++) onAbort(signal, { aborted: (reason) => heard.push([i, reason]) });
  assert.equal(listeners(signal), 1);
  controller.abort("enough");
  assert.deepEqual(
    heard,
    Array.from({ length: 20 }, (_, i) => [i, "enough"]),
  );
});

test("offAbort() lets go of the signal when the last one has gone, and the signal can be used again", () => {
  const { signal } = new AbortController();
  const members: AbortListener[] = [{ aborted: () => {} }, { aborted: () => {} }];
  for (let round = 0; round < 3; round++) {
    for (const member of members) onAbort(signal, member);
    assert.equal(listeners(signal), 1);
    offAbort(signal, members[0]!);
    offAbort(signal, members[0]!);
    assert.equal(listeners(signal), 1);
    offAbort(signal, members[1]!);
    assert.equal(listeners(signal), 0);
  }
  offAbort(new AbortController().signal, members[0]!);
});

test("who is taken off while others are told is not told", () => {
  const controller = new AbortController();
  const { signal } = controller;
  const heard: string[] = [];
  const second: AbortListener = { aborted: () => heard.push("second") };
  const first: AbortListener = {
    aborted: () => {
      heard.push("first");
      offAbort(signal, first);
      offAbort(signal, second);
    },
  };
  onAbort(signal, first);
  onAbort(signal, second);
  controller.abort();
  assert.deepEqual(heard, ["first"]);
  assert.equal(listeners(signal), 0);
});
