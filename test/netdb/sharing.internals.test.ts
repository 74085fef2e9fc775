// Lookups that several callers share, and that are abandoned and resumed; on replaced calls.

import assert from "node:assert/strict";
import { test } from "node:test";
import { getaddrinfo } from "berkeley";
import { calls } from "#berkeley/sys/calls.js";
import { rejection } from "../net/support.js";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

test("getaddrinfo() of equal questions at the same time makes one lookup, which ends with its last caller", async (t) => {
  const real = { ...calls };
  t.after(() => Object.assign(calls, real));
  const log: string[] = [];
  let answer: ((status: number, errno: number, result: null) => void) | undefined;
  calls.getaddrinfo = (host, _service, _family, _type, _protocol, _flags, callback) => {
    log.push(`start ${host}`);
    answer = callback;
    return 7;
  };
  calls.abandonLookup = (ticket) => {
    log.push(`abandon ${ticket}`);
    return 1;
  };
  calls.resumeLookup = (ticket) => {
    log.push(`resume ${ticket}`);
    return 0;
  };
  const control = new AbortController();
  const cut = rejection(getaddrinfo("a.example", 80, { signal: control.signal }));
  const other = rejection(getaddrinfo("a.example", 80, { signal: control.signal }));
  control.abort(new Error("enough"));
  assert.equal((await cut).message, "enough");
  assert.equal((await other).message, "enough");
  assert.deepEqual(log.splice(0), ["start a.example", "abandon 7"]);
  const again = rejection(getaddrinfo("a.example", 80));
  const third = rejection(getaddrinfo("a.example", 80));
  assert.deepEqual(log.splice(0), ["resume 7"]);
  answer!(-3, 0, null);
  assert.equal((await again).code, "EAI_AGAIN");
  assert.equal((await third).code, "EAI_AGAIN");
  assert.notEqual(await again, await third, "no two callers have the same error");
  // That lookup is over: the next question is a new one. A lookup that is gone is not taken up again.
  calls.abandonLookup = () => 0;
  await assert.rejects(getaddrinfo("a.example", 80, { timeout: 1 }), { code: "ETIMEDOUT" });
  await assert.rejects(getaddrinfo("a.example", 80, { timeout: 1 }), { code: "ETIMEDOUT" });
  assert.deepEqual(log, ["start a.example", "start a.example"]);
});
