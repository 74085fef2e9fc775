// Signals and a blocking thread: each signal with a listener interrupts one call, at any time.

import assert from "node:assert/strict";
import { test } from "node:test";
import { checkLeaks } from "../support/leaks.js";
import { type Ended, Program } from "../support/program.js";

checkLeaks();

const prelude = `
  import { writeSync } from "node:fs";
  import { create_connection, create_server, poll, pump, recv_fds, Socket, socketpair, splice } from "berkeley/sync";
  const say = (text) => writeSync(1, text + " ");
  const server = new Socket();
  server.bind("127.0.0.1:0");
  server.listen();
  const tell = (call) => {
    try { call(); say("returned"); } catch (error) { say(error.code ?? error.message); }
  };
  const self = (signal) => process.kill(process.pid, signal);
  // Between two of them the loop looks for events, whichever phase this runs in.
  const turn = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
`;

/** Runs a program to its end. `answer` is called for each output of the program, with its whole output so far. */
async function run(code: string, answer?: (program: Program, said: string) => void): Promise<Ended> {
  await using program = new Program(process.execPath, ["--input-type=module", "--eval", prelude + code]);
  let said = "";
  program.child.stdout!.on("data", (chunk: Buffer) => {
    said += chunk.toString();
    answer?.(program, said);
  });
  return await program.ended;
}

/** Sends `signal` once for each "ready" that the program prints, at most so many times. */
function whenReady(signal: NodeJS.Signals, most: number = Infinity): (program: Program, said: string) => void {
  let sent = 0;
  return (program, said) => {
    for (; sent < Math.min(most, said.split("ready").length - 1); sent++) program.child.kill(signal);
  };
}

for (const signal of ["SIGUSR2", "SIGINT", "SIGTERM", "SIGHUP", "SIGALRM"]) {
  test(`three times ${signal} right before accept() are three times EINTR, and then no more`, async () => {
    const { stdout, stderr, status } = await run(`
      process.on("${signal}", () => say("listened"));
      for (let i = 0; i < 3; i++) {
        self("${signal}");
        tell(() => server.accept({ timeout: 10_000 }));
      }
      await turn();
      tell(() => server.accept({ timeout: 100 }));
      server.close();`);
    assert.deepEqual([status, stderr], [0, ""]);
    assert.equal(stdout, "EINTR EINTR EINTR listened listened listened ETIMEDOUT ");
  });
}

for (const [call, code] of [
  ["accept()", "server.accept()"],
  ["the loop over connections", "for (const one of server) void one"],
  ["recv()", "left.recv(1)"],
  ["recvInto()", "left.recvInto(new Uint8Array(1))"],
  ["recvmsg()", "left.recvmsg(1)"],
  ["recv_fds()", "recv_fds(left, 1, 1)"],
  ["sendAll()", "left.sendAll(Buffer.alloc(64 << 20))"],
  ["poll()", "poll([{ socket: left, events: 1 }])"],
  ["splice()", "splice(left, right)"],
  ["pump()", "pump(left, right)"],
  ["create_connection()", "create_connection(full.getsockname())"],
] as const) {
  test(`a signal right before ${call}, and one while it waits, are EINTR each, without a timeout`, async () => {
    const { stdout, status } = await run(
      `const full = create_server(["127.0.0.1", 0], { backlog: 0 });
       const first = new Socket();
       first.connect(full.getsockname());
       const [left, right] = socketpair();
       process.on("SIGUSR2", () => {});
       for (let i = 0; i < 2; i++) {
         self("SIGUSR2");
         tell(() => { ${code}; });
         say("ready");
         tell(() => { ${code}; });
       }
       process.exit(0);`,
      whenReady("SIGUSR2"),
    );
    assert.deepEqual([stdout, status], ["EINTR ready EINTR EINTR ready EINTR ", 0]);
  });
}

test("a second Ctrl-C ends a program that catches the first EINTR and no other, when it comes right before the next call", async () => {
  const { stdout, status } = await run(
    `process.on("SIGINT", () => {});
     say("ready");
     tell(() => server.accept());
     self("SIGINT");
     server.accept();`,
    whenReady("SIGINT"),
  );
  assert.deepEqual([stdout, status], ["ready EINTR ", 1]);
});

test("a second Ctrl-C ends a program that catches every EINTR and waits again", async () => {
  for (const call of [
    "server.accept()",
    "server.accept({ timeout: 60_000 })",
    "poll([{ socket: server, events: 1 }])",
    "pump(...socketpair())",
  ]) {
    const { stdout, status } = await run(
      `process.on("SIGINT", () => say("not reached"));
       for (;;) {
         say("ready");
         tell(() => ${call});
       }`,
      whenReady("SIGINT", 2),
    );
    assert.deepEqual([stdout, status], ["ready EINTR ready EINTR ready ", "SIGINT"], call);
  }
});

test("two signals of Ctrl-C whose listeners have run end nothing", async () => {
  const { stdout, status } = await run(
    `let heard = 0;
     process.on("SIGINT", () => heard++);
     for (let i = 0; i < 3; i++) {
       say("ready");
       tell(() => server.accept());
       while (heard <= i) await turn();
     }
     tell(() => server.accept({ timeout: 50 }));
     server.close();`,
    whenReady("SIGINT"),
  );
  assert.deepEqual([stdout, status], ["ready EINTR ready EINTR ready EINTR ETIMEDOUT ", 0]);
});

test("a signal whose listener has run interrupts no later call, nor one that the listener makes", async () => {
  const { stdout, status } = await run(`
    const heard = new Promise((resolve) => process.on("SIGUSR2", () => {
      tell(() => server.accept({ timeout: 50 }));
      resolve();
    }));
    // The event loop waits, and no call blocks.
    setTimeout(() => self("SIGUSR2"), 10);
    const alive = setInterval(() => {}, 1000);
    await heard;
    clearInterval(alive);
    tell(() => server.accept({ timeout: 50 }));
    server.close();`);
  assert.deepEqual([stdout, status], ["ETIMEDOUT ETIMEDOUT ", 0]);
});

test("a signal does not interrupt a call that need not wait, but the next one that waits", async () => {
  const { stdout, status } = await run(`
    const [left, right] = socketpair();
    process.on("SIGUSR2", () => {});
    left.sendAll("x");
    self("SIGUSR2");
    say(right.recv(1).toString());
    tell(() => right.recv(1, { timeout: 0 }));
    tell(() => right.recv(1, { timeout: 10_000 }));
    process.exit(0);`);
  assert.deepEqual([stdout, status], ["x ETIMEDOUT EINTR ", 0]);
});

test("without a listener, or after the last one is gone, a signal has its default action", async () => {
  for (const listeners of [
    "",
    `process.on("SIGUSR2", say).off("SIGUSR2", say);`,
    `process.once("SIGUSR2", () => {}); self("SIGUSR2"); tell(() => server.accept()); await turn();`,
  ]) {
    const { status } = await run(`${listeners} say("ready"); server.accept();`, whenReady("SIGUSR2"));
    assert.equal(status, "SIGUSR2", listeners);
  }
});

test("a listener that was there before the package counts, and one that comes back", async () => {
  const { stdout, status } = await run(`
    const listener = () => {};
    process.on("SIGTERM", listener).off("SIGTERM", listener).on("SIGTERM", listener);
    self("SIGTERM");
    tell(() => server.accept({ timeout: 10_000 }));
    process.exit(0);`);
  assert.deepEqual([stdout, status], ["EINTR ", 0]);

  await using early = new Program(process.execPath, [
    "--input-type=module",
    "--eval",
    `process.on("SIGTERM", () => {});
     const { create_server } = await import("berkeley/sync");
     process.kill(process.pid, "SIGTERM");
     try { create_server(["127.0.0.1", 0]).accept({ timeout: 10_000 }); } catch (error) { console.log(error.code); }
     process.exit(0);`,
  ]);
  assert.equal((await early.ended).stdout, "EINTR\n");
});

test("SIGCHLD and SIGWINCH interrupt nothing, listened for or not", async () => {
  const { stdout, status } = await run(`
    for (const signal of ["SIGCHLD", "SIGWINCH"]) {
      process.on(signal, () => {});
      self(signal);
      tell(() => server.accept({ timeout: 50 }));
    }
    process.exit(0);`);
  assert.deepEqual([stdout, status], ["ETIMEDOUT ETIMEDOUT ", 0]);
});

test("a worker that blocks is not interrupted by a signal that the main thread listens for, and the listener runs", async () => {
  const { stdout, status } = await run(`
    import { Worker } from "node:worker_threads";
    const { port1, port2 } = new MessageChannel();
    const worker = new Worker(\`
      import { workerData } from "node:worker_threads";
      import { socketpair } from "berkeley/sync";
      const [left] = socketpair();
      workerData.postMessage("blocks");
      try { left.recv(1, { timeout: 500 }); } catch (error) { workerData.postMessage(error.code); }
    \`, { eval: true, workerData: port2, transferList: [port2], execArgv: ["--input-type=module"] });
    process.on("SIGUSR2", () => say("listened"));
    port1.on("message", (text) => {
      say(text);
      if (text === "blocks") self("SIGUSR2");
      else process.exit(0);
    });`);
  assert.deepEqual([stdout, status], ["blocks listened ETIMEDOUT ", 0]);
});

test("the package adds no listener for any signal", async () => {
  const { stdout, status } = await run(`
    say(process.eventNames().filter((name) => String(name).startsWith("SIG")).length);
    process.on("SIGUSR2", () => {});
    say(process.listenerCount("SIGUSR2"));
    server.close();`);
  assert.deepEqual([stdout, status], ["0 1 ", 0]);
});
