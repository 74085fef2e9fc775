// docs/python.md says what the installed Python and the package say, and every counterpart that it names exists.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import * as awaitable from "berkeley";
import * as blocking from "berkeley/sync";
import { checkLeaks } from "./support/leaks.js";

checkLeaks();

const root = fileURLToPath(new URL("../..", import.meta.url));

interface Parity {
  readonly version: readonly [number, number];
  readonly calls: { readonly all: number; readonly covered: number; readonly percent: number };
  readonly rows: readonly {
    readonly kind: string;
    readonly name: string;
    readonly ours: readonly string[];
    readonly blocking: boolean;
    readonly reason?: string;
  }[];
}

function parity(flag: string): string {
  const { status, stderr, stdout } = spawnSync(process.execPath, [join(root, "scripts", "parity.mjs"), flag], {
    encoding: "utf8",
  });
  assert.equal(status, 0, stderr);
  return stdout;
}

const report = JSON.parse(parity("--json")) as Parity;
const other =
  report.version.join(".") !== "3.11" && `the page is about Python 3.11, this is ${report.version.join(".")}`;

test("the page is what the script writes now", { skip: other }, () => {
  parity("--check");
});

test("every counterpart is exported, or a member of a socket", () => {
  const exists = (entry: typeof awaitable | typeof blocking, name: string): boolean => {
    const [, member] = /^Socket\.(\w+)$/.exec(name) ?? [];
    if (member === undefined) return name in entry;
    using socket = new entry.Socket();
    return member in socket || member in entry.Socket;
  };
  for (const { blocking: twin, kind, name, ours } of report.rows) {
    for (const one of ours) {
      assert.ok(exists(awaitable, one), `${kind} ${name}: berkeley has no ${one}`);
      if (twin) assert.ok(exists(blocking, one), `${kind} ${name}: berkeley/sync has no ${one}`);
    }
  }
});

test("at least 95 % of the functions and members have a counterpart, and the rest a reason", (t) => {
  const calls = report.rows.filter(({ kind }) => kind === "function" || kind === "member");
  const covered = calls.filter(({ ours }) => ours.length > 0);
  assert.equal(calls.length, report.calls.all);
  assert.equal(covered.length, report.calls.covered);
  assert.ok(covered.length >= 0.95 * calls.length, `${covered.length} of ${calls.length}`);
  for (const { name, ours, reason } of report.rows) assert.ok(ours.length > 0 || (reason ?? "") !== "", name);
  t.diagnostic(`parity: ${covered.length} of ${calls.length} functions and members, ${report.calls.percent} %`);
});
