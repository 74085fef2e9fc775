// connect() with `retry`: the errors after which it tries again, the pauses between tries, and the limits.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import {
  connect,
  type ConnectOptions,
  IncompleteReadError,
  isRetryable,
  listen,
  type RetryEvent,
  type RetryOptions,
  SocketError,
  TimeoutError,
  TlsError,
} from "berkeley";
import { FakeClock } from "berkeley/testing";
import { checkLeaks } from "../../support/leaks.js";
import { root } from "../../support/program.js";

checkLeaks();

const folder = mkdtempSync(join(tmpdir(), "berkeley-retry-"));
after(() => rmSync(folder, { recursive: true }));

/** A port of the loopback interface that nothing listens at. */
async function closedPort(): Promise<readonly [string, number]> {
  const listener = await listen("tcp://127.0.0.1:0");
  await listener.close();
  const { host, port } = listener.address as { readonly host: string; readonly port: number };
  return [host, port];
}

/** A retry with a fake clock, whose pauses are as long as their bounds. It advances the clock by each pause. */
function recorded(opts: RetryOptions = {}): { retry: RetryOptions; clock: FakeClock; events: RetryEvent[] } {
  const clock = new FakeClock();
  const events: RetryEvent[] = [];
  const onRetry = (event: RetryEvent): void => {
    events.push(event);
    void clock.advance(event.delay);
  };
  return { retry: { clock, random: () => 1, onRetry, ...opts }, clock, events };
}

const code = (error: unknown): unknown => (error as { readonly code?: unknown }).code;

test("the bounds of the pauses double from minDelay to maxDelay, and maxTries ends the call with the last error", async () => {
  const { retry, clock, events } = recorded({ minDelay: 100, maxDelay: 1000, maxTries: 7 });
  const error: unknown = await connect(await closedPort(), { retry }).catch((reason: unknown) => reason);
  assert.ok(error instanceof SocketError);
  assert.equal(error.code, "ECONNREFUSED");
  assert.deepEqual(
    events.map(({ tries, delay, error: cause }) => [tries, delay, code(cause)]),
    [100, 200, 400, 800, 1000, 1000].map((delay, index) => [index + 1, delay, "ECONNREFUSED"]),
  );
  assert.equal(clock.now(), 3500);
  assert.equal(clock.pending, 0);
});

test("without options there are 10 tries, with pauses from 100 ms to 10 s", async () => {
  const { retry, events } = recorded();
  await assert.rejects(connect(await closedPort(), { retry }), { code: "ECONNREFUSED" });
  assert.deepEqual(
    events.map(({ delay }) => delay),
    [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000],
  );
});

test("each pause is a random part of its bound", async () => {
  const parts = [0, 0.25, 0.999, 0.5];
  let at = 0;
  const { retry, events } = recorded({ minDelay: 1000, maxDelay: 4000, maxTries: 5, random: () => parts[at++]! });
  await assert.rejects(connect(await closedPort(), { retry }), { code: "ECONNREFUSED" });
  assert.deepEqual(
    events.map(({ delay }) => delay),
    [0, 500, 3996, 2000],
  );
});

test("a server that comes later gets the connection, with the options of the call", async () => {
  const endpoint = await closedPort();
  const { retry, clock, events } = recorded();
  let opening: ReturnType<typeof listen> | undefined;
  const onRetry = (event: RetryEvent): void => {
    events.push(event);
    if (event.tries === 3) opening = listen(endpoint);
    void Promise.resolve(opening).then(() => clock.advance(event.delay));
  };
  await using stream = await connect(endpoint, { retry: { ...retry, onRetry }, maxLine: 3 });
  await using listener = await opening!;
  await using peer = await listener.accept();
  assert.equal(events.length, 3);
  await peer.write("long line\n");
  await assert.rejects(stream.readLine(), { code: "ERR_LIMIT", max: 3 });
});

test("the timeout is that of all tries and pauses", async () => {
  const { retry, clock } = recorded({ minDelay: 400, maxTries: Infinity });
  const error: unknown = await connect(await closedPort(), { retry, timeout: 1000 }).catch((reason: unknown) => reason);
  assert.ok(error instanceof TimeoutError);
  assert.equal(error.syscall, "connect");
  assert.equal(code(error.cause), "ECONNREFUSED");
  assert.ok(clock.now() >= 1000);
  assert.equal(clock.pending, 0);
});

test("a try that takes longer than tryTimeout has failed, and another one follows", async () => {
  const { retry, events } = recorded({ tryTimeout: 5, maxTries: 3 });
  const resolver = (): Promise<never> => new Promise(() => undefined);
  await assert.rejects(connect("tcp://example.test:80", { resolver, retry }), TimeoutError);
  assert.deepEqual(
    events.map(({ error }) => error instanceof TimeoutError),
    [true, true],
  );
});

test("an abort ends a pause and a try with its reason, and leaves no timer", async () => {
  const clock = new FakeClock();
  const cut = new AbortController();
  const onRetry = (): void => cut.abort("enough");
  const retry: RetryOptions = { clock, onRetry };
  await assert.rejects(connect(await closedPort(), { retry, signal: cut.signal }), (reason) => reason === "enough");
  assert.equal(clock.pending, 0);

  const other = new AbortController();
  const resolver = (): Promise<never> => (other.abort("in a try"), new Promise(() => undefined));
  const call = connect("tcp://example.test:80", { resolver, signal: other.signal, retry: { clock } });
  await assert.rejects(call, (reason) => reason === "in a try");
  const started = connect(await closedPort(), { retry: { clock }, signal: AbortSignal.abort("before") });
  await assert.rejects(started, (reason) => reason === "before");
});

test("a wrong argument and an unknown name are not tried again", async () => {
  let tries = 0;
  const count = { onRetry: () => tries++ };
  await assert.rejects(connect("tcp://127.0.0.1:1", { retry: count, family: 77 }), TypeError);
  await assert.rejects(connect("tcp://127.0.0.1:1", { retry: count, timeout: -1 }), RangeError);
  const unknown = connect("tcp://nowhere.test:1", { retry: count, resolver: () => Promise.resolve([]) });
  await assert.rejects(unknown, { code: "EAI_NODATA" });
  assert.equal(tries, 0);
});

test("retryOn decides which errors are tried again", async () => {
  const { retry, events } = recorded({ maxTries: 3, retryOn: (error) => code(error) === "EAI_NODATA" });
  const resolver = (): Promise<[]> => Promise.resolve([]);
  await assert.rejects(connect("tcp://nowhere.test:1", { retry, resolver }), { code: "EAI_NODATA" });
  assert.equal(events.length, 2);
  await assert.rejects(connect(await closedPort(), { retry }), { code: "ECONNREFUSED" });
  assert.equal(events.length, 2);
  const failure = new Error("a fault of the function");
  const failing = { retryOn: () => { throw failure; } }; // prettier-ignore
  await assert.rejects(connect(await closedPort(), { retry: failing }), (error) => error === failure);
});

test("a retryOn that is async is refused", async () => {
  const retry = { retryOn: () => Promise.resolve(true) } as unknown as RetryOptions;
  await assert.rejects(connect(await closedPort(), { retry }), (error: Error) => {
    assert.ok(error instanceof TypeError);
    assert.match(error.message, /^Cannot connect again: the result of retryOn is .*, required true or false$/);
    return true;
  });
});

test("isRetryable() distinguishes temporary errors from others", () => {
  const retried = [
    "ECONNREFUSED",
    "ECONNRESET",
    "ETIMEDOUT",
    "EHOSTUNREACH",
    "ENETUNREACH",
    "ENOENT",
    "EAI_AGAIN",
    "EMFILE",
  ];
  for (const name of retried) assert.equal(isRetryable(new SocketError(name, -1, "connect")), true, name);
  for (const name of ["EACCES", "EPERM", "EINVAL", "EAI_NONAME", "EAFNOSUPPORT", "EBADF", "ECANCELED", "EPROTO"]) {
    assert.equal(isRetryable(new SocketError(name, -1, "connect")), false, name);
  }
  assert.equal(isRetryable(new IncompleteReadError(new Uint8Array(1), 2)), true);
  for (const other of [
    new TlsError("CERT_HAS_EXPIRED", "x", "y"),
    new TypeError("x"),
    "ECONNREFUSED",
    null,
    undefined,
  ]) {
    assert.equal(isRetryable(other), false);
  }
  assert.equal(isRetryable(Object.assign(new Error("of another library"), { code: "ECONNREFUSED" })), false);
});

test("docs/reconnect.md and the comment of isRetryable() list the codes that are tried again", () => {
  const codesOf = (text: string): string[] => [...text.matchAll(/`(E[A-Z_]+)`/g)].map(([, name]) => name!).toSorted();
  const page = readFileSync(join(root, "docs", "reconnect.md"), "utf8");
  const rows = page.slice(page.indexOf("| code | why |"), page.indexOf("It is false for all other errors"));
  const listed = codesOf(rows);
  assert.ok(listed.length > 15);
  // Node has no constant for EHOSTDOWN and the codes of getaddrinfo(3).
  const all = Object.keys(constants.errno).filter((name) => isRetryable(new SocketError(name, -1, "connect")));
  assert.deepEqual(
    new Set(listed),
    new Set([...all.filter((name) => name !== "EWOULDBLOCK"), "EAI_AGAIN", "EHOSTDOWN"]),
  );
  const source = readFileSync(join(root, "src", "net", "retry.ts"), "utf8");
  const comment = source.slice(
    source.indexOf("missing permission, a protocol error"),
    source.indexOf("export function isRetryable"),
  );
  assert.deepEqual(codesOf(comment), listed);
});

test("wrong options of retry are refused before the first try", async () => {
  const wrong: [unknown, typeof TypeError | typeof RangeError, RegExp][] = [
    [true, TypeError, /retry is true, required an object$/],
    [[], TypeError, /retry is \[\], required an object$/],
    [{ attempts: 3 }, TypeError, /option "attempts" is unknown for retry/],
    [{ maxTries: 0 }, RangeError, /retry\.maxTries is 0, required/],
    [{ maxTries: "3" }, TypeError, /retry\.maxTries is "3", required/],
    [{ minDelay: -1 }, RangeError, /retry\.minDelay is -1, required/],
    [{ minDelay: 500, maxDelay: 100 }, RangeError, /retry\.maxDelay is 100, required milliseconds from 500 to/],
    [{ tryTimeout: NaN }, RangeError, /retry\.tryTimeout is NaN, required/],
    [{ retryOn: ["ECONNREFUSED"] }, TypeError, /retry\.retryOn is .*, required a function/],
    [{ onRetry: 1 }, TypeError, /retry\.onRetry is 1, required a function/],
    [{ random: 0.5 }, TypeError, /retry\.random is 0\.5, required a function/],
    [{ clock: Date }, TypeError, /retry\.clock is a class Date, required a Clock/],
  ];
  for (const [retry, type, text] of wrong) {
    await assert.rejects(connect("tcp://127.0.0.1:1", { retry } as ConnectOptions), (error: Error) => {
      assert.ok(error instanceof type, String(error));
      assert.match(error.message, /^Cannot connect to "tcp:\/\/127\.0\.0\.1:1": /);
      assert.match(error.message, text);
      return true;
    });
  }
  await assert.rejects(connect("fd:0", { retry: {} }), /option "retry" is unknown for a fd endpoint/);
});

test("ncat that starts while connect() tries gets the connection over a UNIX socket", async () => {
  const path = join(folder, "late.sock");
  let ncat: ReturnType<typeof spawn> | undefined;
  const failures: unknown[] = [];
  const onRetry = ({ error }: RetryEvent): void => {
    failures.push(code(error));
    ncat ??= spawn("ncat", ["-lU", path], { stdio: ["pipe", "pipe", "inherit"] });
  };
  await using stream = await connect(`unix:${path}`, {
    retry: { minDelay: 5, maxDelay: 50, maxTries: Infinity, onRetry },
    timeout: 20_000,
  });
  assert.equal(failures[0], "ENOENT");
  ncat!.stdin!.end("good morning\n");
  assert.equal(await stream.readLine(), "good morning");
  await stream.close();
  if (ncat!.exitCode === null) await once(ncat!, "exit");
});
