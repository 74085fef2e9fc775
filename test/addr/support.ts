// Functions that the tests of addresses share: texts that are nearly right, and the results of Python for comparison.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { pick, type Random } from "../support/random.js";

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

/** Runs a call that must throw. Returns the error. */
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
