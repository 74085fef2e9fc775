// upgrade() under a service manager: socket activation and sd_notify(3). A socket of the test plays the manager.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { AF_INET, AF_UNIX, type Message, SO_PASSCRED, SOCK_DGRAM, Socket } from "berkeley";
import { checkLeaks } from "../support/leaks.js";
import { Program } from "../support/program.js";
import { Generations } from "./generations.js";

checkLeaks();

const folder = mkdtempSync(join(tmpdir(), "notify-"));
after(() => rmSync(folder, { recursive: true }));

/** Receives what a service sends to its manager. */
class Manager implements AsyncDisposable {
  readonly place: string;
  readonly #socket = new Socket(AF_UNIX, SOCK_DGRAM);

  private constructor(place: string) {
    this.place = place;
  }

  static async at(place: string): Promise<Manager> {
    const manager = new Manager(place);
    manager.#socket.setsockopt(SO_PASSCRED, true);
    await manager.#socket.bind(place.startsWith("@") ? { path: `\0${place.slice(1)}` } : { path: place });
    return manager;
  }

  /** The next message as `pid: text`. Descriptors are closed, as systemd does after a barrier. */
  async next(): Promise<string> {
    const { control, data } = (await this.#socket.recvmsg(4096, { controlSize: 256, timeout: 20_000 })) as Message;
    let pid = 0;
    for (const message of control) {
      if (message.type === "SCM_CREDENTIALS") pid = message.pid;
      if (message.type === "SCM_RIGHTS") message.fds.close();
    }
    return `${pid}: ${data.toString().replace(/=\d{6,}$/m, "=TIME")}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close();
    return Promise.resolve();
  }
}

for (const place of [join(folder, "manager"), "@upgrade-manager"]) {
  test(`a service manager at ${place.slice(0, 1)} gets READY, RELOADING and MAINPID, and follows the program`, async () => {
    await using manager = await Manager.at(place);
    await using programs = new Generations({ NOTIFY_SOCKET: place });
    const first = await programs.ready(1);
    assert.equal(await manager.next(), `${first}: READY=1`);
    // A failure ends the reload.
    const failing = programs.ask(`upgrade ${JSON.stringify({ args: ["--eval", "0"] })}`);
    assert.equal(await manager.next(), `${first}: RELOADING=1\nMONOTONIC_USEC=TIME`);
    assert.equal(await manager.next(), `${first}: READY=1\nSTATUS=The upgrade has failed`);
    assert.match(await failing, /ERR_UPGRADE/);
    let old = first;
    for (const generation of [2, 3]) {
      process.kill(old, "SIGUSR2");
      assert.equal(await manager.next(), `${old}: RELOADING=1\nMONOTONIC_USEC=TIME`);
      const next = await programs.ready(generation);
      assert.equal(await manager.next(), `${old}: MAINPID=${next}\nREADY=1\nSTATUS=`);
      assert.equal(await manager.next(), `${old}: BARRIER=1`);
      old = next;
    }
    assert.equal(await programs.ask("who"), `3 ${old}`);
    assert.equal(await programs.ask("drain"), "draining");
    assert.equal((await programs.first.ended).status, 0);
  });
}

test("upgrade() fails if the service manager has ended, and the program continues to serve", async () => {
  const place = join(folder, "gone");
  const manager = await Manager.at(place);
  await using programs = new Generations({ NOTIFY_SOCKET: place });
  const first = await programs.ready(1);
  await manager[Symbol.asyncDispose]();
  assert.equal((JSON.parse(await programs.ask("upgrade")) as { code: string }).code, "ECONNREFUSED");
  assert.equal(await programs.ask("who"), `1 ${first}`);
});

test("a socket that a service manager has passed goes from one program to the next", async () => {
  await using socket = new Socket(AF_INET);
  await socket.bind("127.0.0.1:0");
  socket.listen();
  // As systemd starts it.
  const script = 'LISTEN_PID=$$ exec "$0" "$@"';
  const variables = { ENDPOINT: "systemd:web", LISTEN_FDS: "1", LISTEN_FDNAMES: "web" };
  await using programs = new Generations(
    variables,
    (args, options) =>
      new Program("sh", ["-c", script, process.execPath, ...args], { ...options, descriptors: [socket.fileno()] }),
  );
  let pid = await programs.ready(1);
  for (const generation of [2, 3]) {
    process.kill(pid, "SIGUSR2");
    pid = await programs.ready(generation);
    assert.equal(await programs.ask("who"), `${generation} ${pid}`);
  }
  assert.equal(await programs.ask("drain"), "draining");
  assert.equal((await programs.first.ended).status, 0);
});
