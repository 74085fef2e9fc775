// One event listener per signal, for all calls that wait with it.

import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { type AbortListener, offAbort, onAbort } from "#berkeley/wait/aborts.js";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

const listeners = (signal: AbortSignal): number => getEventListeners(signal, "abort").length;

test("onAbort() calls all listeners with the reason, in the order in which they were added", () => {
  const controller = new AbortController();
  const { signal } = controller;
  const called: unknown[] = [];
  for (let i = 0; i < 20; i++) onAbort(signal, { onAborted: (reason) => called.push([i, reason]) });
  assert.equal(listeners(signal), 1);
  controller.abort("enough");
  assert.deepEqual(
    called,
    Array.from({ length: 20 }, (_, i) => [i, "enough"]),
  );
});

test("offAbort() removes the event listener with the last listener, and the signal can be used again", () => {
  const { signal } = new AbortController();
  const members: AbortListener[] = [{ onAborted: () => {} }, { onAborted: () => {} }];
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

test("a listener that is removed during an abort is not called", () => {
  const controller = new AbortController();
  const { signal } = controller;
  const called: string[] = [];
  const second: AbortListener = { onAborted: () => called.push("second") };
  const first: AbortListener = {
    onAborted: () => {
      called.push("first");
      offAbort(signal, first);
      offAbort(signal, second);
    },
  };
  onAbort(signal, first);
  onAbort(signal, second);
  controller.abort();
  assert.deepEqual(called, ["first"]);
  assert.equal(listeners(signal), 0);
});
