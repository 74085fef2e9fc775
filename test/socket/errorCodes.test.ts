// The type of SocketError.code. The compiler checks the comparisons; the call below checks a value.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type ErrnoCode,
  type ProxyError,
  type ResolverCode,
  Socket,
  SocketError,
  type SocketErrorCode,
  type TimeoutError,
} from "berkeley";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

/** Only compiled. */
export function types(error: SocketError, timeout: TimeoutError, proxy: ProxyError, other: string): unknown[] {
  const code: ErrnoCode | ResolverCode = error.code;
  const same: SocketErrorCode = timeout.code;
  const text: string = proxy.code;
  // Names that this package does not list, in an error of a caller.
  const own = new SocketError(other, -1, "connect");
  const retried = new Set<string>(["ECONNREFUSED", "EAI_AGAIN"]).has(error.code);
  return [
    code === "ECONNREFUSED",
    code === "E2BIG",
    code === "E4095",
    code === "EAI_AGAIN",
    code === "EAI_77",
    // @ts-expect-error The name is misspelt.
    error.code === "ECONREFUSED",
    // @ts-expect-error The name is misspelt.
    timeout.code === "ETIMEOUT",
    // @ts-expect-error The name is misspelt.
    proxy.code === "EAI_NONAMES",
    // @ts-expect-error Linux has a second name for this number, which the package does not use.
    error.code === "EWOULDBLOCK",
    (error.code as string) === "EOTHER",
    [same, text, own, retried],
  ];
}

test("a code that the union does not list is kept as it was given", async () => {
  assert.equal(new SocketError("EOTHER", -4000, "connect").code, "EOTHER");
  using socket = new Socket();
  const error = await socket.recv(1).catch((reason: unknown) => reason);
  assert.ok(error instanceof SocketError && error.code === "ENOTCONN");
});
