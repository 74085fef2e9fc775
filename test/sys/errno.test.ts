// The names of errno values, compared with the C headers and with Python, and the function that makes errors of them.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { constants } from "node:os";
import { test } from "node:test";
import { SocketError } from "berkeley";
import { addon } from "#berkeley/sys/addon.js";
import * as errno from "#berkeley/sys/errno.js";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

/** The macros of errno.h, from the C preprocessor. An alias has the number of its target. */
function headers(): Map<string, number> {
  const compiler = process.env["CC"]?.split(" ")[0] ?? "cc";
  const text = execFileSync(compiler, ["-E", "-dM", "-include", "errno.h", "-x", "c", "/dev/null"], {
    encoding: "utf8",
  });
  const macros = new Map(
    [...text.matchAll(/^#define (E[A-Z0-9]+) (\w+)$/gm)].map(([, name, value]) => [name!, value!]),
  );
  return new Map([...macros].map(([name, value]) => [name, Number(macros.get(value) ?? value)]));
}

/** Python's names of errnos, with their numbers. */
function python(): Map<string, number> {
  const program =
    "import errno, json; print(json.dumps({name: getattr(errno, name) for name in dir(errno) if name[0] == 'E'}))";
  const names = JSON.parse(execFileSync("python3", ["-c", program], { encoding: "utf8" })) as Record<string, number>;
  return new Map(Object.entries(names));
}

const sources = [
  ["the C headers", headers(), 130],
  ["Python", python(), 120],
] as const;

for (const [source, known, least] of sources) {
  test(`the addon has every errno of ${source}, with its number`, () => {
    assert.ok(known.size > least, `${known.size} names`);
    const own = new Set(Object.values(addon.errnos));
    for (const [name, value] of known) {
      assert.ok(Number.isInteger(value) && value > 0, `${name} is ${value}`);
      // Of two names with one number the addon has one.
      assert.equal(addon.errnos[name] ?? value, value, name);
      assert.ok(own.has(value), `${name} is missing`);
    }
  });

  test(`errnoName() gives a name that ${source} has for the number`, () => {
    for (const value of new Set(known.values())) {
      const name = errno.errnoName(-value);
      assert.equal(known.get(name), value, `${value} is ${name}`);
    }
  });

  test(`each exported errno is the negative of the number in ${source}`, () => {
    const exported = Object.entries(errno).filter(([, value]) => typeof value === "number");
    assert.ok(exported.length > 25, `${exported.length} names`);
    for (const [name, value] of exported) assert.equal(value, -known.get(name)!, name);
  });
}

test("errnoName() returns the names of the man pages for the numbers of socket(7)", () => {
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
    const value = sources[0][1].get(name);
    assert.ok(value !== undefined && value > 0, name);
    assert.equal(errno.errnoName(-value), name);
  }
});

test("errnoName() of an unknown number contains the number", () => {
  assert.equal(errno.errnoName(-9999), "E9999");
});

test("check() returns results, and throws errors with the details of the call", () => {
  assert.equal(errno.check(0, "listen"), 0);
  assert.equal(errno.check(7, "dup"), 7);
  assert.throws(
    () => errno.check(errno.ETIMEDOUT, "connect", () => ({ address: "::1", port: 5 })),
    (error: unknown) => {
      assert.ok(error instanceof SocketError);
      assert.equal(error.message, "connect ETIMEDOUT [::1]:5: connection timed out");
      assert.equal(error.errno, -constants.errno.ETIMEDOUT);
      return true;
    },
  );
  let asked = 0;
  errno.check(1, "listen", () => (asked++, undefined));
  assert.equal(asked, 0, "details are made only for an error");
});
