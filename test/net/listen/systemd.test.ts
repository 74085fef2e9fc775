// Sockets from a service manager: the strict check of the variables, and a child that is started as systemd starts one.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { AF_INET, AF_UNIX, connect, connectUdp, listenFds, Socket, SOCK_DGRAM } from "berkeley";
import { checkLeaks } from "../../support/leaks.js";

checkLeaks();

const own = String(process.pid);

test("listenFds() gives the descriptors from 3 on, with their names", () => {
  const env = { LISTEN_PID: own, LISTEN_FDS: "3", LISTEN_FDNAMES: "http:https:http" };
  assert.deepEqual(listenFds({ env }), [
    { name: "http", fd: 3 },
    { name: "https", fd: 4 },
    { name: "http", fd: 5 },
  ]);
  assert.deepEqual(listenFds({ env: { LISTEN_PID: own, LISTEN_FDS: "1" } }), [{ name: "unknown", fd: 3 }]);
  assert.deepEqual(listenFds({ env: { LISTEN_PID: own, LISTEN_FDS: "0" } }), []);
});

test("listenFds() takes nothing that is meant for another process", () => {
  assert.deepEqual(listenFds({ env: {} }), []);
  assert.deepEqual(listenFds({ env: { LISTEN_PID: "1", LISTEN_FDS: "2" } }), []);
});

test("listenFds() refuses variables that don't fit together", () => {
  const wrong = [
    { LISTEN_FDS: "1" },
    { LISTEN_PID: own },
    { LISTEN_PID: "", LISTEN_FDS: "1" },
    { LISTEN_PID: `0${own}`, LISTEN_FDS: "1" },
    { LISTEN_PID: `${own} `, LISTEN_FDS: "1" },
    { LISTEN_PID: "0x1", LISTEN_FDS: "1" },
    { LISTEN_PID: own, LISTEN_FDS: "" },
    { LISTEN_PID: own, LISTEN_FDS: "-1" },
    { LISTEN_PID: own, LISTEN_FDS: "1e3" },
    { LISTEN_PID: own, LISTEN_FDS: "01" },
    { LISTEN_PID: own, LISTEN_FDS: "99999999" },
    { LISTEN_PID: own, LISTEN_FDS: "2", LISTEN_FDNAMES: "one" },
    { LISTEN_PID: own, LISTEN_FDS: "1", LISTEN_FDNAMES: "one:two" },
  ];
  for (const env of wrong) {
    assert.throws(() => listenFds({ env }), { code: "EINVAL", syscall: "sd_listen_fds" }, JSON.stringify(env));
  }
});

test("listenFds() can remove the variables", () => {
  const env = { LISTEN_PID: own, LISTEN_FDS: "1", LISTEN_FDNAMES: "a", PATH: "/bin" };
  assert.equal(listenFds({ env, unsetEnv: true }).length, 1);
  assert.deepEqual(env, { PATH: "/bin" });
});

const child = `
import { bindUdp, listen, listenFds } from "berkeley";
const failure = async (promise) => promise.then(() => "none", (error) => error.code + ": " + error.cause.message);
console.log(await failure(listen("systemd:absent")));
console.log(await failure(listen("systemd:twice")));
console.log(await failure(listen("systemd:packets")));
const packets = await bindUdp("systemd:packets");
const listener = await listen("systemd:lines", { unsetEnv: true });
console.log(String(listener.address), listenFds().length, process.env.LISTEN_FDS);
const stream = await listener.accept();
await stream.write("from the child\\n");
await stream.close();
await listener.close();
const { data, address } = await packets.receive();
await packets.send(data, address);
await packets.close();
process.exit(0);
`;

test("listen() and bindUdp() take over sockets that a service manager passed", async () => {
  await using tcp = new Socket(AF_INET);
  await tcp.bind("127.0.0.1:0");
  tcp.listen();
  await using udp = new Socket(AF_INET, SOCK_DGRAM);
  await udp.bind("127.0.0.1:0");
  await using extra = new Socket(AF_UNIX);
  // As systemd does it: the id of the process that the program is executed in.
  const script = 'LISTEN_PID=$$ exec "$0" --input-type=module --eval "$1"';
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    LISTEN_FDS: "4",
    LISTEN_FDNAMES: "lines:packets:twice:twice",
  };
  delete env["NODE_TEST_CONTEXT"];
  const inherited = [tcp.fileno(), udp.fileno(), extra.fileno(), extra.fileno()];
  const program = spawn("sh", ["-c", script, process.execPath, child], {
    env,
    stdio: ["ignore", "pipe", "inherit", ...inherited],
    timeout: 30_000,
  });
  let output = "";
  program.stdout!.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const ended = once(program, "close");
  const address = tcp.getsockname();
  await using client = await connect(address);
  assert.equal(await client.readLine(), "from the child");
  await using peer = await connectUdp(udp.getsockname());
  await peer.send("packet");
  assert.equal((await peer.receive({ timeout: 10_000 })).data.toString(), "packet");
  assert.deepEqual(await ended, [0, null]);
  assert.deepEqual(output.trim().split("\n"), [
    'ENOENT: the service manager passed no descriptor under the name "absent"',
    'EINVAL: 2 descriptors have the name "twice", required one; use fd:5, fd:6',
    "EPROTOTYPE: descriptor 4 is a socket of family 2 and type 2, required type 1",
    `${String(address)} 0 undefined`,
  ]);
});
