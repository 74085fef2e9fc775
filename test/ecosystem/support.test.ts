// A missing program: tests are skipped, but under CI they fail.
import assert from "node:assert/strict";
import { test } from "node:test";
import { find, missing } from "./support.js";

test("missing() names the missing program and its package, and throws under CI", (t) => {
  const before = process.env["CI"];
  t.after(() => {
    if (before === undefined) delete process.env["CI"];
    else process.env["CI"] = before;
  });
  delete process.env["CI"];
  assert.equal(missing("coreutils", "sh"), false);
  assert.equal(find("no-such-program"), undefined);
  const reason = "no-such-program not installed (Debian and Ubuntu: apt-get install no-such-package)";
  assert.equal(missing("no-such-package", "sh", "no-such-program"), reason);
  process.env["CI"] = "true";
  assert.throws(() => missing("no-such-package", "no-such-program"), new Error(reason));
});
