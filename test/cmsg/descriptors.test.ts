// ReceivedDescriptors: each descriptor is taken or closed, once.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ReceivedDescriptors } from "#berkeley/cmsg/index.js";
import { checkLeaks } from "../support/leaks.js";
import { type Recorder, recorder } from "./support.js";

checkLeaks();

test("take() hands out all descriptors in order, and releases them", () => {
  const { calls, closed, released } = recorder();
  const descriptors = new ReceivedDescriptors([11, 12, 13], calls);
  assert.equal(descriptors.length, 3);
  assert.deepEqual(descriptors.fds, [11, 12, 13]);
  assert.deepEqual(descriptors.take(), [11, 12, 13]);
  assert.deepEqual(released, [11, 12, 13]);
  assert.equal(descriptors.length, 0);
  assert.deepEqual(descriptors.take(), []);
  descriptors.close();
  assert.deepEqual(closed, []);
});

test("take(count) leaves the rest, which close() closes once", () => {
  const { calls, closed, released } = recorder();
  const descriptors = new ReceivedDescriptors([11, 12, 13], calls);
  assert.deepEqual(descriptors.take(1), [11]);
  assert.deepEqual(descriptors.fds, [12, 13]);
  descriptors.close();
  descriptors.close();
  assert.deepEqual(released, [11]);
  assert.deepEqual(closed, [12, 13]);
  assert.deepEqual(descriptors.take(), []);
});

test("take() refuses a value that is not a count", () => {
  const descriptors = new ReceivedDescriptors([], recorder().calls);
  assert.throws(() => descriptors.take(-1), { name: "RangeError" });
  assert.throws(() => descriptors.take("1" as unknown as number), { name: "TypeError" });
});

test("disposal closes the descriptors that were not taken", () => {
  const { calls, closed } = recorder();
  {
    using descriptors = new ReceivedDescriptors([21, 22], calls);
    descriptors.take(1);
  }
  assert.deepEqual(closed, [22]);
});

test("join() moves the descriptors of several into one", () => {
  const { calls, closed } = recorder();
  const one = new ReceivedDescriptors([1], calls);
  const other = new ReceivedDescriptors([2, 3], calls);
  const joined = ReceivedDescriptors.join([one, other], calls);
  one.close();
  other.close();
  assert.deepEqual(closed, []);
  joined.close();
  assert.deepEqual(closed, [1, 2, 3]);
});

function forget(to: Recorder): void {
  new ReceivedDescriptors([31, 32], to.calls).take(1);
  ReceivedDescriptors.join([new ReceivedDescriptors([33], to.calls)], to.calls);
}

test("collection closes the descriptors that were not taken, once", async () => {
  const record = recorder();
  forget(record);
  for (let turn = 0; turn < 100 && record.closed.length < 2; turn++) {
    globalThis.gc!();
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  assert.deepEqual(
    record.closed.sort((one, other) => one - other),
    [32, 33],
  );
  assert.deepEqual(record.released, [31]);
});
