// What the address tests share: seeded random numbers, and Python as a second opinion.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";

/** Uniform integers below a bound, the same ones for the same seed (mulberry32). */
export type Random = (below: number) => number;

export function seeded(seed: number): Random {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

export function pick<T>(random: Random, from: ArrayLike<T>): T {
  return from[random(from.length)]!;
}

/** A text with a few characters inserted, removed or replaced. */
export function mutate(random: Random, text: string, alphabet: string): string {
  const units = Array.from(text);
  for (let edits = 1 + random(3); edits > 0; edits--) {
    const at = random(units.length + 1);
    const kind = random(3);
    if (kind === 0) units.splice(at, 0, pick(random, alphabet));
    else if (kind === 1) units.splice(at, 1);
    else units.splice(at, 1, pick(random, alphabet));
  }
  return units.join("");
}

/** Runs `expression`, Python over the name `case`, for each case; null where it raises ValueError or OSError. */
export function python(expression: string, cases: readonly string[]): (string | null)[] {
  const program = `
import ipaddress, json, socket, sys
def answer(case):
    try:
        return ${expression}
    except (ValueError, OSError):
        return None
json.dump([answer(case) for case in json.load(sys.stdin)], sys.stdout)
`;
  const run = spawnSync("python3", ["-c", program], {
    input: JSON.stringify(cases),
    encoding: "utf8",
    maxBuffer: 64 << 20,
  });
  assert.equal(run.status, 0, run.stderr);
  const answers = JSON.parse(run.stdout) as (string | null)[];
  assert.equal(answers.length, cases.length);
  return answers;
}

export function hex(bytes: Uint8Array | undefined): string | null {
  return bytes === undefined ? null : Buffer.from(bytes).toString("hex");
}

/** Checks the house rule for messages: one line of bounded length, no full stop at the end, nothing unprintable. */
export function checkMessage(error: unknown, quoted?: string): void {
  assert.ok(error instanceof TypeError || error instanceof RangeError, String(error));
  assert.match(error.message, /^Cannot (?:parse|use) /);
  assert.doesNotMatch(error.message, /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]|\.$/u);
  assert.ok(error.message.length < 2500, `${error.message.length} characters`);
  if (quoted !== undefined) assert.ok(error.message.includes(quoted), `${quoted} in ${error.message}`);
}

/** Runs a call that has to throw and gives what it threw. */
export function thrown(call: () => unknown): Error {
  let error: unknown;
  try {
    call();
  } catch (caught) {
    error = caught;
  }
  checkMessage(error);
  return error as Error;
}
