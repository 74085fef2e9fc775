// A peer that dies: first its process, then its machine.
//
// The process is a real one. A machine that goes silent is a socket with a filter that drops every packet before TCP sees
// it: no ACK, no RST, as with a cable that was pulled.

import type { ChildProcess } from "node:child_process";

import { SO_ATTACH_FILTER, TCP_INFO, TCP_USER_TIMEOUT } from "../../options/index.js";
import type { Socket } from "../../socket/index.js";
import { BPF_K, BPF_RET } from "../../sys/constants.js";
import { bytesText, descriptorOf, type LessonPlan, quoted } from "./lesson.js";
import { outcome } from "./outcome.js";
import { connectedPair } from "./pair.js";
import type { Scene } from "./scene.js";

const START_TIMEOUT = 20_000;
const USER_TIMEOUT = 1_500;

/** A client in a process of its own, which holds its connection until it is killed. */
async function startClient(scene: Scene, port: number): Promise<ChildProcess> {
  const { spawn } = await import("node:child_process");
  const program = `const s = require("node:net").connect(${port}, "127.0.0.1"); s.write("I am alive"); s.resume();`;
  // Options of the watched program must not watch this one too.
  const env = { ...process.env, NODE_OPTIONS: "" };
  const child = spawn(process.execPath, ["-e", program], { stdio: "ignore", env });
  // The inspector keeps no process alive.
  child.unref();
  scene.addChild(child);
  await new Promise<void>((resolve, reject) => {
    child.once("spawn", resolve);
    child.once("error", reject);
  });
  return child;
}

export const lostPeerLesson: LessonPlan = {
  name: "lostPeer",
  title: "A peer that dies",
  about:
    "A peer can end in two ways. Its process dies, and its kernel says so. Or its machine goes silent, and nobody says anything. You see both, and how long it takes to notice.",
  plan(scene) {
    let server: Socket;
    let connection: Socket;
    let child: ChildProcess;
    let port = 0;
    let near: Socket;
    let far: Socket;
    return [
      {
        title: "A server",
        code: () => 'await server.bind(["127.0.0.1", 0]);\nserver.listen(1);',
        async run() {
          server = scene.open("server");
          await server.bind(["127.0.0.1", 0]);
          server.listen(1);
          ({ port } = server.getsockname() as { port: number });
          return `${descriptorOf(server)}, port ${port}`;
        },
        text: "It listens, as in the first lesson.",
      },
      {
        title: "Another process connects",
        code: () =>
          'const child = spawn(process.execPath, ["-e", program]);\nconst [connection, address] = await server.accept();\nserver.close();',
        async run() {
          child = await startClient(scene, port);
          const [accepted, address] = await server.accept({ timeout: START_TIMEOUT });
          connection = scene.add("connection", accepted);
          await connection.readable({ timeout: START_TIMEOUT });
          scene.addForeign("process", String(address), String(connection.getsockname()));
          server.close();
          return `${descriptorOf(connection)}, connected to process ${child.pid}`;
        },
        text: "The client is a process of its own. It has sent a few bytes and keeps its connection open.",
      },
      {
        title: "It is alive",
        code: () => "await connection.recv(1024);",
        async run() {
          return quoted(await connection.recv(1024));
        },
        text: "The bytes of the other process.",
      },
      {
        title: "The process is killed",
        code: () => 'child.kill("SIGKILL");',
        async run() {
          const ended = new Promise<void>((resolve) => void child.once("exit", () => resolve()));
          child.kill("SIGKILL");
          await ended;
          return `process ${child.pid} has ended`;
        },
        text: "The process could not say goodbye: SIGKILL leaves no time for any code. But its sockets belong to the kernel, which closes all of them at the end of a process. So FIN is sent all the same, as after close().",
      },
      {
        title: "What the survivor reads",
        code: () => "await connection.recv(1024);",
        async run() {
          return quoted(await connection.recv(1024));
        },
        text: "0 bytes, as if the peer had finished in an orderly way. From this alone a program can't tell a crash from an end. That is why protocols have lengths or a last word.",
      },
      {
        title: "Writing to the dead",
        code: () => 'await connection.sendAll("are you there?");',
        run: () => outcome(connection.sendAll("are you there?"), () => "nothing: the kernel has taken all 14 bytes"),
        text: "sendAll() succeeds, because the kernel has taken the bytes. FIN said only that nothing more will come, not that nobody reads. But no socket has the connection any more, so the other kernel answers with RST.",
      },
      {
        title: "Writing again",
        code: () => 'await connection.sendAll("hello?");',
        run: () => outcome(connection.sendAll("hello?"), () => "nothing"),
        text: "After the reset the kernel refuses to send. The error comes one call late, as for most errors of a network.",
      },
      {
        title: "A machine that goes silent",
        code: () => "far.setsockopt(SO_ATTACH_FILTER, [{ code: BPF_RET | BPF_K, k: 0 }]);",
        async run() {
          connection.close();
          ({ client: near, connection: far } = await connectedPair(scene, ["near", "far"]));
          far.setsockopt(SO_ATTACH_FILTER, [{ code: BPF_RET | BPF_K, k: 0 }]);
          return "nothing; every packet to “far” is dropped from now on";
        },
        text: "A new connection. The filter drops what arrives at its far end before TCP sees it, so nothing is answered: as if a cable were pulled or the machine had lost its power. Both ends are still ESTABLISHED, and without traffic that stays so for ever.",
      },
      {
        title: "Sending into the void",
        code: () => `near.setsockopt(TCP_USER_TIMEOUT, ${USER_TIMEOUT});\nawait near.sendAll("are you there?");`,
        async run() {
          near.setsockopt(TCP_USER_TIMEOUT, USER_TIMEOUT);
          await near.sendAll("are you there?");
          return "nothing: the kernel has taken all 14 bytes";
        },
        text: "The packet leaves and no ACK comes. The bytes stay in the send queue, because the kernel may have to send them again.",
      },
      {
        title: "The kernel tries, then gives up",
        code: () => "await near.recv(1024);",
        async run() {
          const before = near.getsockopt(TCP_INFO).tcpi_total_retrans;
          const result = await outcome(near.recv(1024, { timeout: START_TIMEOUT }), (data) => bytesText(data.length));
          const sent = near.getsockopt(TCP_INFO).tcpi_total_retrans - before;
          return `${result} (sent again ${sent} ${sent === 1 ? "time" : "times"})`;
        },
        text: "The kernel sends the segment again, each time after a longer pause. TCP_USER_TIMEOUT limited that to 1.5 seconds. By default it takes a quarter of an hour, and a connection that only reads never notices: SO_KEEPALIVE, or messages of the program with a deadline, are for that.",
      },
    ];
  },
};
