// upgrade(): real programs that replace themselves, under load, and new programs that fail.

import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { connect, listen, type EndpointLike, type Stream, wrapTls } from "berkeley";
import { serve, upgrade, upgradeOn } from "berkeley/server";
import { checkLeaks } from "../support/leaks.js";
import { certificates } from "../tls/support.js";
import { Generations } from "./generations.js";

checkLeaks();

interface Failure {
  readonly name: string;
  readonly code: string;
  readonly message: string;
  readonly exitCode?: number | null;
  readonly signal?: string | null;
  readonly cause?: string;
}

/** Answers per generation that are awaited before the next upgrade. */
const ANSWERS = 100;

/** Clients that open a connection for each request, without pause, while the program upgrades itself. */
async function restartUnderLoad(
  programs: Generations,
  open: () => Promise<Stream>,
  clients: number,
  upgrades: number,
): Promise<void> {
  const answers = new Map<string, number>();
  const errors: unknown[] = [];
  let stopped = false;
  let news: () => void = () => undefined;
  const client = async (): Promise<void> => {
    while (!stopped) {
      try {
        await using stream = await open();
        await stream.write("who\n");
        const line = await stream.readLine();
        const generation = /^(\d+) \d+$/.exec(line ?? "")?.[1];
        if (generation === undefined) throw new Error(`the answer is ${line}`);
        answers.set(generation, (answers.get(generation) ?? 0) + 1);
      } catch (error) {
        errors.push(error);
        stopped = true;
      }
      news();
    }
  };
  const running = Array.from({ length: clients }, client);
  try {
    for (let generation = 1; generation <= upgrades + 1; generation++) {
      await programs.ready(generation);
      while (!stopped && (answers.get(String(generation)) ?? 0) < ANSWERS) {
        await new Promise<void>((resolve) => (news = resolve));
      }
      if (stopped) break;
      if (generation <= upgrades) {
        await using stream = await open();
        await stream.write("upgrade\n");
        assert.match((await stream.readLine()) ?? "no answer", /^upgraded to \d+$/);
      }
    }
  } finally {
    stopped = true;
    await Promise.all(running);
  }
  assert.deepEqual(errors, []);
  {
    await using stream = await open();
    await stream.write("drain\n");
    assert.equal(await stream.readLine(), "draining");
  }
  const { status, stdout, stderr } = await programs.first.ended;
  assert.equal(status, 0, stderr);
  // Each generation has served, and has neither refused nor cut a connection.
  const ended = [...stdout.matchAll(/^closed (\d+) (.*)$/gm)]
    .map(([, generation, rest]) => `${generation} ${rest}`)
    .sort((one, other) => one.localeCompare(other));
  const none = `${JSON.stringify({ refused: 0, failed: 0, aborted: 0 })} true`;
  const all = Array.from({ length: upgrades + 1 }, (_, index) => `${index + 1} ${none}`);
  assert.deepEqual(ended, all);
}

test("50 clients with a connection per request get no error during five upgrades", async () => {
  await using programs = new Generations();
  await programs.ready(1);
  await restartUnderLoad(programs, () => programs.connect(), 50, 5);
});

test("clients of a TLS server get no error during three upgrades", async () => {
  const { ca, server } = certificates();
  await using programs = new Generations({ ENDPOINT: "tls://127.0.0.1:0", TLS: server.cert + server.key });
  await programs.ready(1);
  const { port } = programs;
  const open = (): Promise<Stream> =>
    connect(`tls://127.0.0.1:${port}`, { tls: { ca: ca.cert, servername: "localhost" } });
  await restartUnderLoad(programs, open, 10, 3);
});

test("clients of a UNIX socket get no error during three upgrades, and the last generation removes the file", async () => {
  const folder = mkdtempSync(join(tmpdir(), "upgrade-"));
  try {
    const path = join(folder, "socket");
    await using programs = new Generations({ ENDPOINT: `unix:${path}` });
    await programs.ready(1);
    await restartUnderLoad(programs, () => programs.connect(), 10, 3);
    assert.equal(existsSync(path), false);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

/** The CPU time of a process, in ticks of 10 ms. */
function ticks(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "latin1").split(") ")[1]!.split(" ");
  return Number(fields[11]) + Number(fields[12]);
}

test("open connections stay with the old program, which ends when the last one has ended", async () => {
  await using programs = new Generations();
  const old = await programs.ready(1);
  await using held = await programs.connect();
  await held.write("hold\n");
  assert.equal(await held.readLine(), "holding");
  assert.match(await programs.ask("upgrade"), /^upgraded to \d+$/);
  const next = await programs.ready(2);
  assert.equal(await programs.ask("who"), `2 ${next}`);
  // The old program has no part in the events of the socket.
  const before = ticks(old);
  const since = performance.now();
  for (let request = 0; request < 200; request++) await programs.ask("who");
  assert.ok((ticks(old) - before) * 10 <= (performance.now() - since) / 4, "the old program uses the CPU");
  await held.write("and served\n");
  assert.equal(await held.readLine(), "held and served");
  await held.close();
  await programs.first.line(/^closed 1 /);
  assert.equal(await programs.ask("drain"), "draining");
  assert.equal((await programs.first.ended).status, 0);
});

/** The state of the process, without the connection of this request. */
interface State {
  readonly children: string;
  readonly fds: readonly string[];
}

const FAILURES: readonly (readonly [name: string, options: object, expected: RegExp, extra: object])[] = [
  [
    "throws before it listens",
    { env: { MODE: "early" } },
    /exited with status 1 before it was ready$/,
    { exitCode: 1 },
  ],
  ["exits", { env: { MODE: "stopped" } }, /exited with status 3 before/, { exitCode: 3 }],
  ["throws after it has listened", { env: { MODE: "late" } }, /status 1 .*: Error: no database$/, { exitCode: 1 }],
  ["is killed", { env: { MODE: "killed" } }, /was ended by SIGKILL/, { signal: "SIGKILL", exitCode: null }],
  ["has a syntax error", { args: ["--eval", "("] }, /exited with status 1/, { exitCode: 1 }],
  ["ends without ready()", { args: ["--eval", "0"] }, /exited with status 0/, { exitCode: 0 }],
  ["does not exist", { command: "/nonexistent/node" }, /does not start: spawn .* ENOENT/, { code: "ERR_UPGRADE" }],
  ["hangs before it listens", { env: { MODE: "asleep" }, timeout: 300 }, /ETIMEDOUT/, { code: "ETIMEDOUT" }],
  ["hangs after it has listened", { env: { MODE: "hanging" }, timeout: 300 }, /ETIMEDOUT/, { code: "ETIMEDOUT" }],
  ["blocks its thread", { env: { MODE: "blocked" }, timeout: 300 }, /ETIMEDOUT/, { code: "ETIMEDOUT" }],
  ["ignores SIGTERM", { env: { MODE: "stubborn" }, timeout: 300 }, /ETIMEDOUT/, { code: "ETIMEDOUT" }],
  ["has no directory", { cwd: "/nonexistent" }, /chdir/, { code: "ENOENT" }],
];

test("a new program that fails leaves the old one as it was", async (t) => {
  await using programs = new Generations();
  const old = await programs.ready(1);
  // A first attempt loads what later ones need.
  await programs.ask(`upgrade ${JSON.stringify({ args: ["--eval", "0"] })}`);
  const before = JSON.parse(await programs.ask("state")) as State;
  assert.equal(before.children, "");
  for (const [name, options, expected, extra] of FAILURES) {
    await t.test(`one that ${name}`, async () => {
      const failure = JSON.parse(await programs.ask(`upgrade ${JSON.stringify(options)}`)) as Failure;
      assert.match(failure.message, expected);
      for (const [key, value] of Object.entries(extra)) assert.deepEqual(failure[key as keyof Failure], value);
      assert.deepEqual(JSON.parse(await programs.ask("state")), before);
      assert.equal(await programs.ask("who"), `1 ${old}`);
    });
  }
  assert.match(await programs.ask("upgrade"), /^upgraded to /);
  assert.match(await programs.ask("who"), /^2 /);
  assert.equal(await programs.ask("drain"), "draining");
  assert.equal((await programs.first.ended).status, 0);
});

test("a new program accepts nothing before it is ready, so its failure costs no client", async () => {
  await using programs = new Generations();
  const old = await programs.ready(1);
  await using stream = await programs.connect();
  await stream.write(`upgrade ${JSON.stringify({ env: { MODE: "hanging" }, timeout: null })}\n`);
  await programs.first.line(/^listening 2$/);
  const ask = async (): Promise<void> => {
    for (let request = 0; request < 50; request++) assert.equal(await programs.ask("who"), `1 ${old}`);
  };
  await Promise.all(Array.from({ length: 10 }, ask));
  const pid = await programs.ask("children");
  const asking = Array.from({ length: 10 }, ask);
  process.kill(Number(pid), "SIGKILL");
  await Promise.all(asking);
  assert.equal((JSON.parse((await stream.readLine())!) as Failure).signal, "SIGKILL");
});

test("a second upgrade during the first, and one after it, reject with EALREADY", async () => {
  await using programs = new Generations();
  await programs.ready(1);
  await using first = await programs.connect();
  await using held = await programs.connect();
  await held.write("hold\n");
  assert.equal(await held.readLine(), "holding");
  await first.write(`upgrade ${JSON.stringify({ env: { MODE: "asleep" }, timeout: 500 })}\n`);
  // The programs are one process each, and the commands are executed in order.
  const second = JSON.parse(await programs.ask("upgrade")) as Failure;
  assert.equal(second.code, "EALREADY");
  assert.equal(second.cause, "an upgrade is under way");
  assert.equal((JSON.parse((await first.readLine())!) as Failure).code, "ETIMEDOUT");
  await first.close();
  assert.match(await programs.ask("upgrade"), /^upgraded to /);
  const pid = await programs.ready(2);
  programs.first.kill("SIGUSR2");
  await programs.first.line(/^refused 1 EALREADY$/);
  await held.write("on\n");
  assert.equal(await held.readLine(), "held on");
  await held.close();
  process.kill(pid, "SIGTERM");
  assert.equal((await programs.first.ended).status, 0);
});

test("SIGUSR2 upgrades, and a signal to the new program upgrades again", async () => {
  await using programs = new Generations();
  await programs.ready(1);
  programs.first.kill("SIGUSR2");
  process.kill(await programs.ready(2), "SIGUSR2");
  const third = await programs.ready(3);
  await programs.first.line(/^closed 2 /);
  assert.equal(await programs.ask("who"), `3 ${third}`);
  process.kill(third, "SIGTERM");
  const { status, stderr } = await programs.first.ended;
  assert.deepEqual([status, stderr], [0, ""]);
});

test("a server that is drained during an upgrade ends the upgrade and the new program", async () => {
  await using programs = new Generations();
  const old = await programs.ready(1);
  await using stream = await programs.connect();
  await stream.write(`upgrade ${JSON.stringify({ env: { MODE: "hanging" }, timeout: null })}\n`);
  assert.equal(await programs.ask("who"), `1 ${old}`);
  programs.first.kill("SIGTERM");
  const failure = JSON.parse((await stream.readLine())!) as Failure;
  assert.equal(failure.code, "ECANCELED");
  await stream.close();
  // The standard streams are closed when both programs have ended.
  const { status, stdout } = await programs.first.ended;
  assert.equal(status, 0);
  assert.doesNotMatch(stdout, /^ready 2/m);
});

test("a program that is killed during an upgrade takes the port with it", async () => {
  await using programs = new Generations();
  await programs.ready(1);
  await using stream = await programs.connect();
  await stream.write(`upgrade ${JSON.stringify({ env: { MODE: "hanging" }, timeout: null })}\n`);
  let child = "";
  while (child === "") child = await programs.ask("children");
  programs.first.kill("SIGKILL");
  assert.equal(await stream.readLine(), null);
  process.kill(Number(child), "SIGKILL");
  await programs.first.ended;
  await assert.rejects(programs.connect(), { code: "ECONNREFUSED" });
});

test("upgrade() refuses a value that is not a server, wrong options, and a closed server", async () => {
  await using server = await serve("tcp://127.0.0.1:0", () => undefined);
  const wrong: readonly (readonly [servers: unknown, opts: unknown, message: RegExp])[] = [
    [[], {}, /^Cannot upgrade: servers are \[\], required an array of servers$/],
    [server, {}, /servers are .*, required an array of servers$/],
    [[{}], {}, /a server is \{\}, required a server, a forwarder, or the result of listen/],
    [[server], { argv: [] }, /argv/],
    [[server], { args: "server.mjs" }, /args are "server.mjs", required an array of strings/],
    [[server], { command: "" }, /command is "", required a path/],
    [[server], { cwd: "a\0b" }, /cwd is .*, required a path/],
    [[server], { env: 1 }, /env is 1, required an object/],
    [[server], { timeout: -1 }, /timeout is -1/],
    [[server], { drainTimeout: "1" }, /drainTimeout is "1"/],
  ];
  for (const [servers, opts, message] of wrong) {
    await assert.rejects(upgrade(servers as never, opts as never), (error: Error) => {
      assert.ok(error instanceof TypeError || error instanceof RangeError);
      assert.match(error.message, message);
      return true;
    });
  }
  assert.throws(() => upgradeOn([server], ["usr2" as never]), TypeError);
  assert.throws(() => upgradeOn([server], ["SIGUSR2"], { onError: 1 } as never), TypeError);
  // Newer test runners have a listener of their own.
  const before = process.listenerCount("SIGUSR2");
  const undo = upgradeOn([server]);
  assert.equal(process.listenerCount("SIGUSR2"), before + 1);
  undo();
  server.upgradeOn();
  await server.close();
  assert.equal(process.listenerCount("SIGUSR2"), before);
  await assert.rejects(server.upgrade(), { code: "EBADF", syscall: "upgrade" });
  await using memory = await serve(
    { accept: () => new Promise<never>(() => {}), close: async () => {} } as never,
    () => 0,
  );
  await assert.rejects(memory.upgrade(), TypeError);
});

test("during drain() a TLS handshake that has begun can finish, and its connection is served", async () => {
  const { ca, server: pem } = certificates();
  const listener = await listen("tls://127.0.0.1:0", { tls: { cert: pem.cert, key: pem.key } });
  const events: string[] = [];
  const log = ({ event }: { readonly event: string }): void => void events.push(event);
  const handler = async (stream: Stream): Promise<void> => {
    await stream.write(`you said ${await stream.readLine()}\n`);
  };
  await using server = await serve(listener, handler, { log });
  await using raw = await connect(listener.address as EndpointLike);
  while (listener.stats().handshakes === 0) await new Promise((resolve) => setImmediate(resolve));
  const drained = server.drain({ timeout: 10_000 });
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(events, ["listening", "drain"]);
  await using client = await wrapTls(raw, { ca: ca.cert, servername: "localhost" });
  await client.write(Buffer.from("hello\n"));
  const answer = Buffer.alloc(100);
  const count = await client.read(answer);
  assert.equal(answer.toString("utf8", 0, count), "you said hello\n");
  await client.close();
  await drained;
  assert.deepEqual(server.stats().aborted, 0);
  assert.deepEqual(events, ["listening", "drain", "closed", "end"]);
  await assert.rejects(connect(listener.address as EndpointLike), { code: "ECONNREFUSED" });
});
