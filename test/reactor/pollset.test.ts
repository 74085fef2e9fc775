// The poll set of poll(): it is closed on every path.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Pollset } from "#berkeley/reactor/index.js";
import { Reactor } from "#berkeley/reactor/index.js";
import { EAGAIN } from "#berkeley/sys/errno.js";
import { FakeSys } from "#berkeley/testing/fakeSys.js";

test("the poll set is closed if the poller can't be opened", async () => {
  const sys = new FakeSys();
  sys.script("pollset", () => sys.newFd());
  Object.assign(sys.calls, { openPoller: () => -24 });
  const set = new Pollset(() => new Uint8Array(8), new Reactor(sys.calls));
  const never = { syscall: "poll", movesBytes: false, attempt: () => EAGAIN, complete: () => undefined };
  const run = set.run(never, undefined, undefined, null, undefined);
  await assert.rejects(run, { code: "EMFILE", syscall: "epoll_create1" });
  set.end();
  assert.deepEqual([...sys.open], []);
});
