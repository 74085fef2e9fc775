// TCP Fast Open on both sides: in a network namespace where the server's side is on, and in the namespace of the tests.
// RFC 7413, tcp(7), sendmsg(2).
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { checkLeaks } from "../support/leaks.js";
import { run, runInNamespace } from "./namespace.js";

checkLeaks();

const program = fileURLToPath(new URL("programs/fastOpen.js", import.meta.url));

interface Exchange {
  readonly state?: string;
  readonly sent: number;
  readonly received: string;
  readonly answer: string;
  readonly early: { readonly client: boolean; readonly server: boolean };
}

interface Report {
  readonly connects: readonly Exchange[];
  readonly messages: readonly Exchange[];
  readonly late: { readonly code: string };
  readonly never: { readonly code: string };
  readonly anycast: string;
}

const prepare = "ip -6 addr add 2001:db8:77::1/64 dev lo && echo 3 > /proc/sys/net/ipv4/tcp_fastopen";

const textsOf = (exchanges: readonly Exchange[]): string[] =>
  exchanges.map(({ received, answer }) => `${received} ${answer}`);
const sent = (exchanges: readonly Exchange[]): number[] => exchanges.map((exchange) => exchange.sent);

test("with the option on the server, the SYN carries data from the second connection on", (t) => {
  const output = runInNamespace(prepare, program);
  if (output === undefined) {
    t.skip("no network namespace of our own here");
    return;
  }
  const { connects, messages, late, never, anycast } = JSON.parse(output) as Report;
  assert.deepEqual(textsOf(connects), ["one ONE", "two TWO"]);
  assert.deepEqual(sent(connects), [3, 3]);
  // The first fetches the cookie with an ordinary handshake; the second has connected when it has sent.
  assert.deepEqual(
    connects.map(({ state }) => state),
    ["ESTABLISHED", "SYN_SENT"],
  );
  assert.deepEqual(
    connects.map(({ early }) => early),
    [
      { client: false, server: false },
      { client: true, server: true },
    ],
  );
  // MSG_FASTOPEN: sendto() and sendmsg() connect and send, with or without a cookie.
  assert.deepEqual(textsOf(messages), ["three THREE", "four FOUR", "five FIVE"]);
  assert.deepEqual(sent(messages), [5, 4, 4]);
  assert.deepEqual(
    messages.map(({ early }) => early.client && early.server),
    [false, true, true],
  );
  assert.equal(late.code, "ECONNREFUSED");
  assert.equal(never.code, "ECONNREFUSED");
  assert.equal(anycast, "joined and left");
});

test("the same calls give the same bytes with and without TCP Fast Open in the kernel", () => {
  const { connects, messages, late, never } = JSON.parse(run(process.execPath, [program])) as Report;
  const served = (Number(readFileSync("/proc/sys/net/ipv4/tcp_fastopen", "utf8")) & 2) !== 0;
  assert.deepEqual(textsOf([...connects, ...messages]), [
    "one ONE",
    "two TWO",
    "three THREE",
    "four FOUR",
    "five FIVE",
  ]);
  assert.deepEqual(sent([...connects, ...messages]), [3, 3, 5, 4, 4]);
  if (!served) {
    for (const { early } of [...connects, ...messages]) assert.deepEqual(early, { client: false, server: false });
    assert.deepEqual(
      connects.map(({ state }) => state),
      ["ESTABLISHED", "ESTABLISHED"],
    );
  }
  assert.deepEqual([late.code, never.code], ["ECONNREFUSED", "ECONNREFUSED"]);
});
