// Every exported option on the real kernel: read, set, and read back. If the kernel refuses an option, docs/options.md
// must have the reason: the kernel is older than the option, or a privilege is missing.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { SocketError } from "berkeley";
import { checkLeaks } from "../support/leaks.js";
import { type Recipe, recipes, usual } from "./recipes.js";
import { closeAll, kernelHas, kinds, type Prepared, privileged } from "./support.js";
import { type AnyOption, documented, exported, type Row } from "./table.js";

checkLeaks();

const options = exported();
const count = { read: 0, set: 0, options: 0 };
const refusals: string[] = [];

/** The codes for a kind of socket that this machine does not support. */
const NO_SOCKET = new Set(["EAFNOSUPPORT", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT"]);

/** Whether docs/options.md or the recipe allows this error of the kernel. */
function allowed(error: unknown, row: Row, recipe: Recipe): boolean {
  if (!(error instanceof SocketError)) return false;
  if (error.code === "ENOPROTOOPT" && !kernelHas(row.since)) return true;
  if ((error.code === "EPERM" || error.code === "EACCES") && row.privilege !== "" && !privileged()) return true;
  return recipe.refused?.includes(error.code) ?? false;
}

/** Whether the call went through; false if the kernel refused as it may. */
function goes(row: Row, recipe: Recipe, call: () => void): boolean {
  try {
    call();
    return true;
  } catch (error) {
    if (!allowed(error, row, recipe)) throw error;
    refusals.push(`${row.name} ${(error as SocketError).code}`);
    return false;
  }
}

function read(prepared: Prepared, option: AnyOption): unknown {
  const value = prepared.socket.getsockopt(option);
  count.read++;
  return value;
}

function write(prepared: Prepared, option: AnyOption, value: unknown): void {
  prepared.socket.setsockopt(option, value);
  count.set++;
}

function fits(recipe: Recipe, value: unknown, expected: unknown): void {
  if (recipe.fits !== undefined) assert.ok(recipe.fits(value as never), `it says ${String(value)}`);
  else
    assert.deepEqual(
      value instanceof Uint8Array ? [...value] : value,
      expected instanceof Uint8Array ? [...expected] : expected,
    );
}

/** Sets an option. Returns whether the kernel accepted it. */
function exercise(prepared: Prepared, row: Row, option: AnyOption, recipe: Recipe): boolean {
  const gets = row.get !== "never" && option.query === undefined && !("of" in option);
  const sets = row.set !== "never";
  let before: unknown;
  if (gets && !goes(row, recipe, () => (before = read(prepared, option)))) return false;
  if (!sets || (recipe.set === undefined && recipe.fits !== undefined)) {
    assert.ok(recipe.fits !== undefined, `${row.name} has no recipe that says what is read`);
    fits(recipe, before, undefined);
    return true;
  }
  if (recipe.set === undefined && row.set === "boolean") {
    assert.equal(typeof before, "boolean");
    for (const value of [true, false, before]) {
      if (!goes(row, recipe, () => write(prepared, option, value))) return false;
      assert.equal(read(prepared, option), value);
    }
    return true;
  }
  assert.ok(recipe.set !== undefined, `${row.name} has no recipe that says what to set`);
  if (!goes(row, recipe, () => write(prepared, option, recipe.set))) return false;
  if (recipe.shows !== undefined) assert.ok(recipe.shows(prepared.socket));
  else if (gets) fits(recipe, read(prepared, option), recipe.reads === undefined ? recipe.set : recipe.reads);
  return true;
}

describe("each option does on the kernel what docs/options.md says", () => {
  for (const row of documented()) {
    test(row.name, async (t) => {
      const recipe = recipes[row.name] ?? {};
      const option = options.get(row.name)!;
      const kind = recipe.on ?? usual[row.levels.at(-1)!]!;
      let prepared: Prepared;
      try {
        prepared = await kinds[kind]();
      } catch (error) {
        const { code } = error as SocketError;
        if (!NO_SOCKET.has(code) && (privileged() || code !== "EPERM")) throw error;
        refusals.push(`${row.name} (${kind}) ${code}`);
        t.skip(`no socket of the kind ${kind} here: ${code}`);
        return;
      }
      try {
        try {
          await recipe.before?.(prepared.socket);
        } catch (error) {
          // The preparation requires the same privilege.
          if (!allowed(error, row, recipe)) throw error;
          refusals.push(`${row.name} ${(error as SocketError).code}`);
          return;
        }
        if (exercise(prepared, row, option, recipe)) count.options++;
      } finally {
        closeAll(prepared);
      }
    });
  }
});

test("each option has been exercised, or the kernel has refused it", (t) => {
  const total = options.size;
  const refused = new Set(refusals.map((text) => text.split(" ")[0]));
  assert.equal(count.options + refused.size, total, refusals.join(", "));
  assert.ok(count.options > total / 2, `${count.options} of ${total}`);
  assert.ok(count.read >= count.options && count.set > count.options / 2, `${count.read} reads, ${count.set} sets`);
  t.diagnostic(`${count.options} of ${total} options exercised on Linux: ${count.read} reads, ${count.set} sets`);
  t.diagnostic(`refused as documented: ${refusals.length === 0 ? "none" : refusals.join(", ")}`);
});
