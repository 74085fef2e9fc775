// The timer of a DeadlineSet, which runs on while the set has no members.
import assert from "node:assert/strict";
import { test } from "node:test";
import { type DeadlineMember, DeadlineSet } from "#berkeley/admission/deadlineSet.js";
import { clock } from "#berkeley/builtins.js";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

class Member implements DeadlineMember {
  place = -1;
  /** Resolves with the time of the call of `expire()`, and with Infinity after `abort()`. */
  readonly expired: Promise<number>;
  #resolve!: (now: number) => void;
  readonly #set: DeadlineSet<Member>;
  readonly #due: number;

  constructor(set: DeadlineSet<Member>, delay: number) {
    this.#set = set;
    this.#due = clock() + delay;
    this.expired = new Promise((resolve) => (this.#resolve = resolve));
    set.add(this);
    set.arm(this.#due);
  }

  dueAt(): number {
    return this.#due;
  }

  expire(now: number): void {
    this.#set.delete(this);
    this.#resolve(now);
  }

  abort(): void {
    this.expire(Infinity);
  }
}

/** Runs `body` while a timer keeps the process alive. The timer of a set does not. */
async function keepAlive(body: () => Promise<void>): Promise<void> {
  const timer = setTimeout(() => undefined, 20_000);
  try {
    await body();
  } finally {
    clearTimeout(timer);
  }
}

for (const [first, second] of [
  [10, 40],
  [20_000, 20],
] as const) {
  test(`a member that is due in ${second} ms expires at its time, after one due in ${first} ms was removed`, () =>
    keepAlive(async () => {
      const set = new DeadlineSet<Member>();
      const removed = new Member(set, first);
      set.delete(removed);
      const member = new Member(set, second);
      const wasRemoved = removed.expired.then(() => assert.fail("a removed member has expired"));
      const expiredAt = await Promise.race([member.expired, wasRemoved]);
      assert.ok(expiredAt >= member.dueAt(), `${member.dueAt() - expiredAt} ms too early`);
      assert.equal(set.size, 0);
      await set.whenEmpty();
    }));
}

test("whenEmpty() resolves when the last member is removed, and a later member still expires", () =>
  keepAlive(async () => {
    const set = new DeadlineSet<Member>();
    const [first, second] = [new Member(set, 20_000), new Member(set, 20_000)];
    let isEmpty = false;
    const empty = set.whenEmpty().then(() => (isEmpty = true));
    set.delete(first);
    await Promise.resolve();
    assert.equal(isEmpty, false);
    set.delete(second);
    await empty;
    assert.ok((await new Member(set, 10).expired) < Infinity);
  }));

test("abortAll() aborts and removes all members", async () => {
  const set = new DeadlineSet<Member>();
  const members = [new Member(set, 20_000), new Member(set, 20_000)];
  set.abortAll(new Error("the server was closed"));
  assert.equal(set.size, 0);
  for (const { expired } of members) assert.equal(await expired, Infinity);
});
