// upgrade(): the sockets that the new program gets, and how it finds them.

import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { connect, connectUdp, type EndpointLike } from "berkeley";
import { Program } from "../support/program.js";
import { checkLeaks } from "../support/leaks.js";
import { certificates } from "../tls/support.js";

checkLeaks();

/** Ends the process with the id that a line of a program has, if it has not ended. */
function kill(pid: string | undefined): void {
  try {
    if (pid !== undefined) process.kill(Number(pid), "SIGKILL");
  } catch {
    // It has ended.
  }
}

/** Runs a program until it and the programs that it starts have ended. They print "pid N". */
async function withProgram(
  text: string,
  env: NodeJS.ProcessEnv,
  use: (program: Program) => Promise<void>,
  start: (options: { env: NodeJS.ProcessEnv }) => Program = (options) =>
    Program.node(["--input-type=module", "--eval", text], options),
): Promise<void> {
  const modules = { MAIN: import.meta.resolve("berkeley"), SERVER: import.meta.resolve("berkeley/server") };
  await using program = start({ env: { ...modules, ...env } });
  try {
    await use(program);
  } finally {
    for (const [, pid] of program.stdout.matchAll(/^pid (\d+)$/gm)) kill(pid);
  }
}

const SEVERAL = `
const { bindUdp, forward, listen } = await import(process.env.MAIN);
const { ready, serve, upgrade } = await import(process.env.SERVER);
const { FOLDER, GENERATION = "1", PEM, ORIGIN, WITHOUT = "" } = process.env;
console.log("pid " + process.pid);
process.chdir(FOLDER);
const answer = async (stream) => void (await stream.write(GENERATION + "\\n"));
const servers = [
  await serve("tcp://127.0.0.1:0", answer),
  await serve("tcp://127.0.0.1:0", async (stream) => void (await stream.write("second " + GENERATION + "\\n"))),
  await serve("tls://127.0.0.1:0", answer, { listen: { tls: { cert: PEM, key: PEM } } }),
  await serve("unix:relative.sock", answer, { listen: { mode: GENERATION === "1" ? 0o600 : 0o660 } }),
  await serve("unix:@upgrade-" + FOLDER, answer),
  await forward("tcp://127.0.0.1:0", "unix:" + ORIGIN),
  await listen("tcp://[::]:0"),
  await bindUdp("udp://127.0.0.1:0"),
];
if (WITHOUT === "") servers.push(await serve("unix:dropped.sock", answer));
const [bare, udp] = servers.slice(6, 8);
(async () => { for await (const stream of bare) { await stream.write(GENERATION + "\\n"); await stream.end(); } })();
(async () => { for await (const { data, address } of udp) await udp.send(GENERATION + " " + data, address); })();
process.on("SIGUSR2", async () => {
  const { drained } = await upgrade(servers, { env: { ...process.env, GENERATION: "2", WITHOUT: "dropped" } });
  await drained;
  console.log("drained");
});
process.on("SIGTERM", () => servers.forEach((server) => void server.close()));
await ready();
console.log("addresses " + GENERATION + " " + JSON.stringify(servers.map(({ address }) => String(address))));
`;

test("all kinds of servers and sockets are passed on, each to the call with its endpoint", async () => {
  const folder = mkdtempSync(join(tmpdir(), "upgrade-"));
  const { ca, server: pem } = certificates();
  const { listen } = await import("berkeley");
  const origin = await listen(`unix:${folder}/origin.sock`);
  const serving = (async () => {
    for await (const stream of origin) {
      await stream.write("origin\n");
      await stream.end();
    }
  })();
  const env = { FOLDER: folder, PEM: pem.cert + pem.key, ORIGIN: `${folder}/origin.sock` };
  await withProgram(SEVERAL, env, async (program) => {
    const list = async (generation: number): Promise<string[]> =>
      JSON.parse((await program.line(new RegExp(`^addresses ${generation} (.*)$`)))[1]!) as string[];
    const addresses = await list(1);
    const portOf = (index: number): number => Number(addresses[index]!.split(":").at(-1));
    const ask = async (endpoint: EndpointLike, tls?: object): Promise<string | null> => {
      await using stream = await connect(endpoint, tls === undefined ? {} : { tls });
      return await stream.readLine();
    };
    const askAll = async (): Promise<(string | null)[]> => {
      await using client = await connectUdp(`udp://127.0.0.1:${portOf(7)}`);
      await client.send("packet");
      return [
        await ask(["127.0.0.1", portOf(0)]),
        await ask(["127.0.0.1", portOf(1)]),
        await ask(`tls://127.0.0.1:${portOf(2)}`, { ca: ca.cert, servername: "localhost" }),
        await ask(`unix:${folder}/relative.sock`),
        await ask(`unix:@upgrade-${folder}`),
        await ask(["127.0.0.1", portOf(5)]),
        await ask(["127.0.0.1", portOf(6)]),
        (await client.receive()).data.toString(),
      ];
    };
    const answers = (generation: string): string[] => [
      generation,
      `second ${generation}`,
      generation,
      generation,
      generation,
      "origin",
      generation,
      `${generation} packet`,
    ];
    assert.deepEqual(await askAll(), answers("1"));
    assert.equal(await ask(`unix:${folder}/dropped.sock`), "1");
    const mode = (): number => statSync(join(folder, "relative.sock")).mode & 0o777;
    assert.equal(mode(), 0o600);
    program.kill("SIGUSR2");
    assert.deepEqual(await list(2), addresses.slice(0, 8));
    await program.line(/^drained$/);
    assert.deepEqual(await askAll(), answers("2"));
    assert.equal(mode(), 0o660);
    // The new program has no use for it, so its file is removed.
    await assert.rejects(connect(`unix:${folder}/dropped.sock`), { code: "ENOENT" });
    const second = [...program.stdout.matchAll(/^pid (\d+)$/gm)][1]![1]!;
    process.kill(Number(second), "SIGTERM");
    const { status, stderr } = await program.ended;
    assert.deepEqual([status, stderr], [0, ""]);
    assert.equal(existsSync(join(folder, "relative.sock")), false);
  });
  await origin.close();
  await serving;
  rmSync(folder, { recursive: true });
});

const CHANGED = `
const { ready, serve } = await import(process.env.SERVER);
console.log("pid " + process.pid);
const { NEXT, OPTIONS = "{}", ENDPOINT = "tcp://[::]:0" } = process.env;
const server = await serve(ENDPOINT, async (stream) => {
  await stream.write("served\\n");
}, { listen: JSON.parse(OPTIONS) });
await ready();
if (NEXT === undefined) console.log("taken over", String(server.address));
else {
  const endpoint = "tcp://" + server.address;
  for (const options of JSON.parse(NEXT)) {
    const env = { ...process.env, NEXT: undefined, OPTIONS: JSON.stringify(options), ENDPOINT: endpoint };
    await server.upgrade({ env }).then(({ pid }) => console.log("upgraded " + pid), ({ message }) => {
      console.log("refused " + message);
    });
  }
}
server.shutdownOn(["SIGTERM"]);
`;

test("options that a bound socket keeps end the new program, others are applied", async () => {
  const next = [{ ipv6Only: true }, { reusePort: true }, { backlog: 3, noDelay: false, keepAlive: true }];
  await withProgram(CHANGED, { NEXT: JSON.stringify(next) }, async (program) => {
    const [, pid] = await program.line(/^upgraded (\d+)$/);
    await program.line(/^taken over \[::\]:\d+$/);
    const refused = [...program.stdout.matchAll(/^refused (.*)$/gm)].map(([, text]) => text);
    assert.equal(refused.length, 2, program.stdout);
    assert.match(refused[0]!, /ipv6Only is true, required false as on the socket of the old program/);
    assert.match(refused[1]!, /reusePort is true, required false/);
    process.kill(Number(pid), "SIGTERM");
    assert.equal((await program.ended).status, 0);
  });
});

const WAITING = `
const { forward, listen } = await import(process.env.MAIN);
const { ready, upgrade } = await import(process.env.SERVER);
console.log("pid " + process.pid);
const { NEXT } = process.env;
const listeners = [await listen("tcp://127.0.0.1:0"), await listen("unix:@" + process.env.NAME)];
const forwarder = await forward("tcp://127.0.0.1:0", "tcp://127.0.0.1:1");
if (NEXT === undefined) {
  const addresses = [listeners[0].address, forwarder.address].map(String);
  process.on("SIGUSR2", async () => {
    await upgrade([...listeners, forwarder], { env: { ...process.env, NEXT: "1" } });
    process.exit(0);
  });
  console.log("old " + JSON.stringify(addresses));
} else {
  const code = (promise) => promise.then(() => "none", (error) => error.code ?? String(error));
  const closed = code(listeners[1].accept());
  const results = [
    await code(listeners[0].accept({ timeout: 20 })),
    await code(listeners[0].accept({ signal: AbortSignal.abort("stopped") })),
    await code(listeners[0].accept({ timeout: -1 })),
    (await listeners[1].close(), await closed),
    await code(listeners[1].accept()),
    forwarder.stats().accepted,
  ];
  const accepting = Promise.all([listeners[0].accept({ timeout: 20000 }), listeners[0].accept()]);
  process.on("SIGUSR2", async () => {
    await ready();
    for (const stream of await accepting) await stream.write("served\\n").then(() => stream.end());
    while (forwarder.stats().accepted === 0) await new Promise((resolve) => setImmediate(resolve));
    process.exit(0);
  });
  console.log("new " + process.pid + " " + JSON.stringify(results));
}
`;

test("before ready(), accept() waits, with its timeout and its signal, and a forwarder accepts nothing", async () => {
  const use = async (program: Program): Promise<void> => {
    const [, old] = await program.line(/^old (.*)$/);
    const [listener, forwarder] = (JSON.parse(old!) as string[]).map((address) => `tcp://${address}` as const);
    program.kill("SIGUSR2");
    // The old program does not call accept().
    await using first = await connect(listener!);
    await using second = await connect(listener!);
    const [, pid, next] = await program.line(/^new (\d+) (.*)$/);
    const range =
      "RangeError: Cannot accept: timeout is -1, required milliseconds from 0 to 2147483647, or null for none";
    assert.deepEqual(JSON.parse(next!), ["ETIMEDOUT", "stopped", range, "ECANCELED", "EBADF", 0]);
    process.kill(Number(pid), "SIGUSR2");
    assert.equal(await first.readLine(), "served");
    await first.close();
    assert.equal(await second.readLine(), "served");
    await second.close();
    // ready() has resolved there, so the old forwarder accepts no more. The target refuses this connection.
    const forwarded = await connect(forwarder!).catch(() => undefined);
    await forwarded?.close();
    assert.equal((await program.ended).status, 0);
  };
  await withProgram(WAITING, { NAME: `berkeley-upgrade-${process.pid}` }, use);
});

const RELEASE = (version: number): string => `
const { ready, serve } = await import(process.env.SERVER);
console.log("pid " + process.pid);
const server = await serve("tcp://127.0.0.1:0", () => undefined);
process.chdir("/");
server.upgradeOn(["SIGUSR2"], { onError: (error) => console.log("failed " + error.code) });
server.shutdownOn(["SIGTERM"]);
await ready();
console.log("release ${version} in " + process.env.PWD + " with " + JSON.stringify(process.argv.slice(2)));
`;

test("the new program is the present target of the path, in the directory of the start", async () => {
  const folder = mkdtempSync(join(tmpdir(), "upgrade-"));
  for (const version of [1, 2]) {
    mkdirSync(join(folder, `v${version}`));
    writeFileSync(join(folder, `v${version}`, "server.mjs"), RELEASE(version));
  }
  const current = join(folder, "current");
  symlinkSync("v1", current);
  // As a shell starts it.
  const script = 'cd "$1" && exec "$0" "$1/server.mjs" --flag "two words"';
  const start = (options: { env: NodeJS.ProcessEnv }): Program =>
    new Program("sh", ["-c", script, process.execPath, current], options);
  await withProgram(
    "",
    {},
    async (program) => {
      await program.line(/^release 1 /);
      unlinkSync(current);
      program.kill("SIGUSR2");
      await program.line(/^failed ENOENT$/);
      symlinkSync("v2", current);
      rmSync(join(folder, "v1"), { recursive: true });
      program.kill("SIGUSR2");
      const [line] = await program.line(/^release 2 .*$/);
      assert.equal(line, `release 2 in ${current} with ["--flag","two words"]`);
      const second = [...program.stdout.matchAll(/^pid (\d+)$/gm)][1]![1]!;
      process.kill(Number(second), "SIGTERM");
      assert.equal((await program.ended).status, 0);
    },
    start,
  );
  rmSync(folder, { recursive: true });
});

test("a variable of the environment without the descriptor is ignored, and not passed on", async () => {
  const text = `
    const { ready, serve } = await import(process.env.SERVER);
    const server = await serve("tcp://127.0.0.1:0", () => undefined);
    await ready();
    console.log("served", process.env.BERKELEY_UPGRADE);
    await server.close();`;
  for (const place of ["3:1", "999:1", "0:1", "nonsense", ""]) {
    await withProgram(text, { BERKELEY_UPGRADE: place }, async (program) => {
      const { stdout, stderr } = await program.ended;
      assert.deepEqual([stdout, stderr], ["served undefined\n", ""], place);
    });
  }
});

test("process 1 and worker threads refuse to upgrade", async (t) => {
  const text = `
    import { Worker, isMainThread } from "node:worker_threads";
    import { writeSync } from "node:fs";
    const { serve } = await import(process.env.SERVER);
    const server = await serve("tcp://127.0.0.1:0", () => undefined);
    const { code, cause } = await server.upgrade().catch((error) => error);
    writeSync(1, code + " " + cause.message + "\\n");
    await server.close();`;
  const worker = `
    import { Worker } from "node:worker_threads";
    new Worker(new URL("data:text/javascript," + encodeURIComponent(process.env.TEXT)));`;
  await withProgram(worker, { TEXT: text }, async (program) => {
    assert.match((await program.ended).stdout, /^EOPNOTSUPP this is a worker thread/);
  });
  const root = process.getuid?.() === 0;
  if (!root) return t.diagnostic("process 1 needs a namespace, and that needs root");
  const args = ["--fork", "--pid", "--mount-proc", process.execPath, "--input-type=module", "--eval", text];
  await withProgram(
    "",
    {},
    async (program) => {
      assert.match((await program.ended).stdout, /^EOPNOTSUPP this is process 1/);
    },
    (options) => new Program("unshare", args, options),
  );
});
