// The order of the calls of attachFilter(), and the ends of its loop, on replaced calls.
import assert from "node:assert/strict";
import { test } from "node:test";
import { AF_INET, BPF_K, BPF_RET, SOCK_DGRAM } from "berkeley";
import { attachFilter } from "#berkeley/ops/attachFilter.js";
import type { OpenSocket } from "#berkeley/ops/runner.js";
import { type Calls, calls } from "#berkeley/sys/calls.js";
import { SO_ATTACH_FILTER, SO_DETACH_FILTER } from "#berkeley/sys/constants.js";
import { EAGAIN, EINTR, ENODEV, ENOMEM } from "#berkeley/sys/errno.js";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

/** A socket whose recv(2) returns these results, and whose n-th setsockopt(2) may fail. It writes down its calls. */
function scripted(
  results: number[],
  failing?: { readonly at: number; readonly errno: number },
): [OpenSocket, string[]] {
  const log: string[] = [];
  let settings = 0;
  const replaced: Partial<Calls> = {
    setsockopt: (_fd, _level, name, value) => {
      const accepted = value.subarray(4, 8).some((byte) => byte !== 0);
      log.push(name === SO_DETACH_FILTER ? "detach" : `attach ${accepted ? "filter" : "nothing"}`);
      assert.ok(name === SO_ATTACH_FILTER || name === SO_DETACH_FILTER);
      return settings++ === failing?.at ? failing.errno : 0;
    },
    recv: () => {
      log.push("recv");
      return results.shift() ?? assert.fail("recv after the end");
    },
  };
  const socket = {
    family: AF_INET,
    type: SOCK_DGRAM,
    protocol: 0,
    calls: { ...calls, ...replaced },
    checkOpen: () => 7,
  };
  return [socket, log];
}

const FILTER = [{ code: BPF_RET | BPF_K, k: 0xffff }];

test("the filter is checked, then nothing is accepted while the queue is emptied, then the filter is back", () => {
  const [socket, log] = scripted([1, 0, EINTR, 1, EAGAIN]);
  attachFilter(socket, FILTER);
  const emptied = ["recv", "recv", "recv", "recv", "recv"];
  assert.deepEqual(log, ["attach filter", "attach nothing", ...emptied, "attach filter"]);
});

test("an error that the socket holds is skipped, and one that stays ends the emptying", () => {
  const [once, first] = scripted([ENODEV, 1, EAGAIN]);
  attachFilter(once, FILTER);
  assert.equal(first.filter((call) => call === "recv").length, 3);
  const [always, second] = scripted([1, ENODEV, ENODEV]);
  attachFilter(always, FILTER);
  assert.deepEqual(second.slice(-2), ["recv", "attach filter"]);
});

test("a refusal of the first call ends it, and one of the last leaves no filter that accepts nothing", () => {
  const [refused, first] = scripted([], { at: 0, errno: ENOMEM });
  assert.throws(() => attachFilter(refused, FILTER), { code: "ENOMEM" });
  assert.deepEqual(first, ["attach filter"]);
  const [late, second] = scripted([EAGAIN], { at: 2, errno: ENOMEM });
  assert.throws(() => attachFilter(late, FILTER), { code: "ENOMEM" });
  assert.deepEqual(second, ["attach filter", "attach nothing", "recv", "attach filter", "detach"]);
});
