// Callbacks of users that throw, reject or return wrong values: one handshake fails, or there is a warning, and others
// continue.

import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { createContext, runInContext } from "node:vm";
import { connect, listen, SocketError, type TlsClientOptions, TlsContext, TlsError, wrapTls } from "berkeley";
import type { SniCallback, TlsConn } from "berkeley";
import { checkLeaks } from "../support/leaks.js";
import { certificates, failing, inMemory, overTcp, serving, tlsPair, trusting } from "./support.js";

checkLeaks();

const { other } = certificates();

async function shown(context: TlsContext, servername = "localhost"): Promise<string | undefined> {
  const [client, server] = await tlsPair(overTcp, { ...trusting(), servername }, { context });
  const subject = client.peerCertificate?.subject;
  await Promise.all([client.close(), server.close()]);
  return subject;
}

const nulls: readonly [what: string, sniCallback: SniCallback][] = [
  ["undefined", () => undefined],
  ["null", () => null],
  ["a Promise of undefined", () => Promise.resolve(undefined)],
  ["a Promise of null", async () => null],
  ["a Promise of another realm, of null", () => runInContext("(async () => null)()", createContext()) as Promise<null>],
];

for (const [what, sniCallback] of nulls) {
  test(`sniCallback that gives ${what} keeps the default context`, async () => {
    assert.equal(await shown(new TlsContext({ ...serving(), sniCallback })), "CN=server");
  });
}

test("sniCallback may give a context by a Promise of another realm", async () => {
  const chosen = new TlsContext(serving(other));
  const realm = createContext({ chosen });
  const sniCallback = (): Promise<TlsContext> => runInContext("(async () => chosen)()", realm) as Promise<TlsContext>;
  assert.equal(await shown(new TlsContext({ ...serving(), sniCallback }), "other.test"), "CN=other");
});

const own = new Error("no such site");
const rejecting = (reason: unknown): Promise<never> => Promise.resolve().then(() => thrower(reason));
// oxlint-disable-next-line unicorn/no-thenable -- that is what is tested
const thenable = (then: (resolve: (value: null) => void) => void): object => ({ then });
function thrower(error: unknown): never {
  throw error;
}
const ofSocket = new SocketError("ECONNREFUSED", -111, "poll", { local: "127.0.0.1:1", peer: "127.0.0.1:2" });
const withCode = Object.assign(new Error("no such file"), { code: "ENOENT", errno: -2 });

const refusals: readonly [what: string, sniCallback: () => unknown, expected: unknown][] = [
  ["throws", () => thrower(own), own],
  ["rejects", () => Promise.reject(own), own],
  ["throws an error with a code", () => thrower(withCode), withCode],
  ["throws a SocketError", () => thrower(ofSocket), ofSocket],
  ["throws no Error", () => runInContext("throw 5", createContext()), /sniCallback threw 5/],
  ["rejects with undefined", () => rejecting(undefined), /sniCallback threw undefined/],
  ["rejects with null", () => rejecting(null), /sniCallback threw null/],
  ["gives false", () => false, /the result of sniCallback is a boolean, required a TlsContext/],
  ["gives a number", () => 5, /the result of sniCallback is a number/],
  ["gives options", () => serving(), /the result of sniCallback is /],
  ["gives a Promise of options", () => Promise.resolve(serving()), /the result of sniCallback is /],
  [
    "gives a Promise of text",
    () => Promise.resolve("localhost"),
    /the result of sniCallback is a string of 9 characters/,
  ],
  ["gives a foreign thenable", () => thenable((resolve) => resolve(null)), /the result of sniCallback is /],
  ["gives a thenable that throws", () => thenable(() => thrower(own)), /the result of sniCallback is /],
  ["gives a context without a certificate", () => new TlsContext(), /without a certificate/],
];

for (const [what, sniCallback, expected] of refusals) {
  test(`sniCallback that ${what} refuses that one handshake`, async () => {
    let wrong = true;
    const choose = ((): unknown => (wrong ? sniCallback() : undefined)) as SniCallback;
    const failures: unknown[] = [];
    await using listener = await listen("tls://127.0.0.1:0", {
      tls: { ...serving(), sniCallback: choose, onHandshakeError: (error) => failures.push(error) },
    });
    const accepting = listener.accept();
    const target = { scheme: "tls", host: "localhost", port: portOf(listener.address) } as const;
    const tls = { ca: certificates().ca.cert };
    await assert.rejects(connect(target, { tls }), { code: "ECONNRESET" });
    wrong = false;
    await using client = await connect(target, { tls });
    await using server = await accepting;
    await server.write("hello\n");
    assert.equal(await client.readLine(), "hello");
    assert.equal(failures.length, 1);
    if (expected instanceof RegExp) assert.match((failures[0] as Error).message, expected);
    else assert.equal(failures[0], expected);
  });
}

const portOf = (address: unknown): number => (address as { readonly port: number }).port;

test("sniCallback that never answers is cut by the handshake's time", async () => {
  const context = new TlsContext({ ...serving(), sniCallback: () => new Promise<null>(() => undefined) });
  const [client, server] = await failing(overTcp, trusting(), { context, handshakeTimeout: 50 });
  assert.equal((server as { code?: string }).code, "ETIMEDOUT");
  assert.equal((client as { code?: string }).code, "ECONNRESET");
});

test("sniCallback that answers after its client has closed does no harm", async () => {
  let answer: ((value: null) => void) | undefined;
  const sniCallback = (): Promise<null> => new Promise((resolve) => (answer = resolve));
  const context = new TlsContext({ ...serving(), sniCallback });
  const [, server] = await failing(overTcp, { ...trusting(), handshakeTimeout: 50 }, { context });
  assert.equal((server as { code?: string }).code, "ECONNRESET");
  answer?.(null);
  await new Promise((resolve) => setImmediate(resolve));
});

type Check = TlsClientOptions["checkServerIdentity"];

const verdicts: readonly [what: string, check: () => unknown, expected: unknown][] = [
  ["throws", () => thrower(own), own],
  ["throws no Error", () => runInContext("throw 5", createContext()), 5],
  ["throws an error with a code", () => thrower(withCode), withCode],
  ["throws a SocketError", () => thrower(ofSocket), ofSocket],
  ["gives null", () => null, /the result of checkServerIdentity is null, required undefined or an Error/],
  ["gives false", () => false, /checkServerIdentity is false, required/],
  ["gives true", () => true, /checkServerIdentity is true, required/],
  ["gives text", () => "no", /checkServerIdentity is "no", required/],
  ["is async", async () => undefined, /required undefined or an Error, and no Promise/],
  ["is async and rejects", () => Promise.reject(own), /required undefined or an Error, and no Promise/],
];

for (const [what, check, expected] of verdicts) {
  for (const rejectUnauthorized of [true, false]) {
    test(`checkServerIdentity that ${what} refuses the server, with rejectUnauthorized ${rejectUnauthorized}`, async () => {
      for (const pair of [inMemory, overTcp]) {
        const settings = { ...trusting(), rejectUnauthorized, checkServerIdentity: check as Check };
        const [error, server] = await failing(pair, settings, serving());
        if (expected instanceof RegExp) assert.match((error as Error).message, expected);
        else assert.equal(error, expected);
        // With TLS 1.3 the server may be through before the client looks.
        assert.ok(server !== undefined);
      }
    });
  }
}

test("checkServerIdentity of another realm may give an Error of that realm", async () => {
  const check = runInContext("() => new Error('elsewhere')", createContext()) as Check;
  const [error] = await failing(overTcp, { ...trusting(), checkServerIdentity: check }, serving());
  assert.equal((error as Error).message, "elsewhere");
});

const reports: readonly [what: string, report: () => unknown][] = [
  ["throws", () => thrower(own)],
  ["is async and rejects", () => Promise.reject(own)],
  ["throws no Error", () => runInContext("throw 'text'", createContext())],
];

for (const [what, report] of reports) {
  test(`onHandshakeError that ${what} is a warning, and the listener goes on`, async () => {
    await using listener = await listen("tls://127.0.0.1:0", {
      tls: { ...serving(), onHandshakeError: report },
    });
    const accepting = listener.accept();
    const warned = once(process, "warning") as Promise<[Error & { code?: string; detail?: string }]>;
    await using stranger = await connect(`tcp://127.0.0.1:${portOf(listener.address)}`);
    await stranger.write("GET / HTTP/1.1\r\n\r\n");
    const [warning] = await warned;
    assert.equal(warning.name, "CallbackWarning");
    assert.equal(warning.code, "ERR_CALLBACK");
    assert.match(warning.message, /^onHandshakeError threw (Error: no such site|'text')$/);
    assert.ok(warning.cause === own || warning.cause === "text");
    assert.ok(warning.detail?.includes(warning.cause === own ? "no such site" : "text"));
    const client = connect(`tls://localhost:${portOf(listener.address)}`, { tls: { ca: certificates().ca.cert } });
    const both: { readonly conn: TlsConn; close(): Promise<void> }[] = await Promise.all([client, accepting]);
    assert.equal(both[0]?.conn.authorized, true);
    await Promise.all(both.map((stream) => stream.close()));
  });
}

test("a TlsError that checkServerIdentity gives keeps its code", async () => {
  const [a, b] = await overTcp();
  const server = wrapTls(b, { ...serving(), isServer: true }).catch((error: unknown) => error);
  const given = new TlsError("ERR_OWN", "Cannot trust", "it is Monday");
  await assert.rejects(wrapTls(a, { ...trusting(), checkServerIdentity: () => given }), given);
  const left = await server;
  if (left instanceof Error) return;
  (left as TlsConn).abort();
  await (left as TlsConn).close();
});
