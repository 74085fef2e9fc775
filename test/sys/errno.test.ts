// Errno values by name, and the one place that makes an error of them.

import assert from "node:assert/strict";
import { constants } from "node:os";
import { test } from "node:test";
import { SocketError } from "berkeley";
import { addon } from "#berkeley/sys/addon.js";
import * as errno from "#berkeley/sys/errno.js";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

test("the addon's numbers are Node's, by every name that both have", () => {
  let common = 0;
  for (const [name, value] of Object.entries(constants.errno)) {
    const own = addon.errnos[name];
    if (own === undefined) continue;
    assert.equal(own, value, name);
    common++;
  }
  assert.ok(common > 70, `${common} names`);
});

test("errnoName() knows the names of socket(7), each number by the name that its man pages use", () => {
  for (const name of [
    "EAGAIN",
    "EINTR",
    "EBADF",
    "EMFILE",
    "ENFILE",
    "ENOBUFS",
    "ENOMEM",
    "EPIPE",
    "EINVAL",
    "EACCES",
    "EPERM",
    "EFAULT",
    "ENOTSOCK",
    "EDESTADDRREQ",
    "EMSGSIZE",
    "EPROTOTYPE",
    "ENOPROTOOPT",
    "EPROTONOSUPPORT",
    "ESOCKTNOSUPPORT",
    "EOPNOTSUPP",
    "EAFNOSUPPORT",
    "EADDRINUSE",
    "EADDRNOTAVAIL",
    "ENETDOWN",
    "ENETUNREACH",
    "ECONNABORTED",
    "ECONNRESET",
    "EISCONN",
    "ENOTCONN",
    "ETIMEDOUT",
    "ECONNREFUSED",
    "EHOSTDOWN",
    "EHOSTUNREACH",
    "EALREADY",
    "EINPROGRESS",
    "ECANCELED",
    "EDEADLK",
  ]) {
    const value = addon.errnos[name];
    assert.ok(value !== undefined && value > 0, name);
    assert.equal(errno.errnoName(-value), name);
  }
});

test("errnoName() of a number that nobody knows has the number", () => {
  assert.equal(errno.errnoName(-9999), "E9999");
});

test("each exported errno is the negative of its header's", () => {
  for (const [name, value] of Object.entries(errno)) {
    if (typeof value !== "number") continue;
    assert.equal(value, -addon.errnos[name]!, name);
  }
});

test("check() passes results on, and throws errors with what is known of the call", () => {
  assert.equal(errno.check(0, "listen"), 0);
  assert.equal(errno.check(7, "dup"), 7);
  assert.throws(
    () => errno.check(errno.ETIMEDOUT, "connect", () => ({ address: "::1", port: 5 })),
    (error: unknown) => {
      assert.ok(error instanceof SocketError);
      assert.equal(error.message, "connect ETIMEDOUT [::1]:5");
      assert.equal(error.errno, -constants.errno.ETIMEDOUT);
      return true;
    },
  );
  let asked = 0;
  errno.check(1, "listen", () => (asked++, undefined));
  assert.equal(asked, 0, "details are made only for an error");
});
