// The lesson about a peer whose process ends, and a peer whose machine fails.
//
// The process is a real one. For the failure of the machine, a socket has a filter that drops every packet before TCP
// gets it. So the kernel answers with neither ACK nor RST, as after the loss of a cable.

import type { ChildProcess } from "node:child_process";

import { SO_ATTACH_FILTER, TCP_INFO, TCP_USER_TIMEOUT } from "../../options/index.js";
import type { Socket } from "../../socket/index.js";
import { BPF_K, BPF_RET } from "../../sys/constants.js";
import { bytesText, descriptorText, type LessonPlan, quoted } from "./lesson.js";
import { describeOutcome } from "./outcome.js";
import { connectedPair } from "./pair.js";
import type { Scene } from "./scene.js";

/** The timeout of each call that waits for the other end, in ms. */
const CALL_TIMEOUT = 20_000;
/** TCP_USER_TIMEOUT for the silent peer, in ms. */
const USER_TIMEOUT = 1_500;

/** Starts a client in a process of its own. The process keeps its connection until it is killed. */
async function startClient(scene: Scene, port: number): Promise<ChildProcess> {
  const { spawn } = await import("node:child_process");
  const program = `const s = require("node:net").connect(${port}, "127.0.0.1"); s.write("connected"); s.resume();`;
  // NODE_OPTIONS of the program may start an inspector, which the child must not have.
  const env = { ...process.env, NODE_OPTIONS: "" };
  const child = spawn(process.execPath, ["-e", program], { stdio: "ignore", env });
  // The child must not keep the inspected process alive.
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
    "A peer can end in two ways. If its process dies, its kernel closes the connection with FIN. If its machine " +
    "fails, no packet arrives any more. You see both, and how long it takes until a call returns the failure.",
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
          return `${descriptorText(server)}, port ${port}`;
        },
        text: "The server listens, as in the lesson about TCP.",
      },
      {
        title: "Another process connects",
        code: () =>
          'const child = spawn(process.execPath, ["-e", program]);\nconst [connection, address] = await server.accept();\nserver.close();',
        async run() {
          child = await startClient(scene, port);
          const [accepted, address] = await server.accept({ timeout: CALL_TIMEOUT });
          connection = scene.add("connection", accepted);
          await connection.readable({ timeout: CALL_TIMEOUT });
          scene.addForeign("process", String(address), String(connection.getsockname()));
          server.close();
          return `${descriptorText(connection)}, connected to process ${child.pid}`;
        },
        text: "The client is a process of its own. It has sent a few bytes and keeps its connection open.",
      },
      {
        title: "The process has sent bytes",
        code: () => "await connection.recv(1024);",
        async run() {
          return quoted(await connection.recv(1024));
        },
        text: "recv() returns the bytes that the other process has sent.",
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
        text:
          "SIGKILL ends a process at once: no code of the process runs any more. The kernel closes all " +
          "descriptors of a process that ends. So the kernel sends FIN, as after close().",
      },
      {
        title: "The server reads",
        code: () => "await connection.recv(1024);",
        async run() {
          return quoted(await connection.recv(1024));
        },
        text:
          "recv() returns 0 bytes, as after close(). So a program can't distinguish a crash of the peer from " +
          "its normal end by recv() alone. A protocol needs a length or an end marker for that.",
      },
      {
        title: "The server sends to the ended process",
        code: () => 'await connection.sendAll("first message");',
        run: () =>
          describeOutcome(connection.sendAll("first message"), () => "nothing: the kernel has taken all 13 bytes"),
        text:
          "sendAll() succeeds, because the kernel has taken the bytes: after FIN a peer can still read. But " +
          "no socket has the connection any more, so the other kernel answers with RST.",
      },
      {
        title: "The server sends again",
        code: () => 'await connection.sendAll("second message");',
        run: () => describeOutcome(connection.sendAll("second message"), () => "nothing"),
        text:
          "After the reset the kernel refuses to send. The first call had succeeded, and a later call " +
          "returns the error, as with most errors of a network.",
      },
      {
        title: "A machine that goes silent",
        code: () => "far.setsockopt(SO_ATTACH_FILTER, [{ code: BPF_RET | BPF_K, k: 0 }]);",
        async run() {
          connection.close();
          ({ client: near, connection: far } = await connectedPair(scene, ["near", "far"]));
          // The only instruction of the filter keeps 0 bytes of each packet.
          far.setsockopt(SO_ATTACH_FILTER, [{ code: BPF_RET | BPF_K, k: 0 }]);
          return "nothing; every packet to “far” is dropped from now on";
        },
        text:
          "This is a new connection. The filter drops every packet that arrives at its far end before TCP " +
          "gets it, so there is no answer, as after a loss of power or of the network. Both ends are still " +
          "ESTABLISHED. Without traffic, this state does not change.",
      },
      {
        title: "The near end sends",
        code: () => `near.setsockopt(TCP_USER_TIMEOUT, ${USER_TIMEOUT});\nawait near.sendAll("first message");`,
        async run() {
          near.setsockopt(TCP_USER_TIMEOUT, USER_TIMEOUT);
          await near.sendAll("first message");
          return "nothing: the kernel has taken all 13 bytes";
        },
        text:
          "The kernel sends the packet and gets no ACK. The bytes stay in the send queue, because the kernel " +
          "may have to send them again.",
      },
      {
        title: "The kernel repeats, then ends the connection",
        code: () => "await near.recv(1024);",
        async run() {
          const result = await describeOutcome(near.recv(1024, { timeout: CALL_TIMEOUT }), (data) =>
            bytesText(data.length),
          );
          // Counts the repetitions of all steps, because the kernel also repeats the segment between two steps.
          const retransmits = near.getsockopt(TCP_INFO).tcpi_total_retrans;
          return `${result} (sent again ${retransmits} ${retransmits === 1 ? "time" : "times"})`;
        },
        text:
          "The kernel sends the segment again, each time after a longer pause. TCP_USER_TIMEOUT limits this " +
          "to 1.5 seconds. The default takes about a quarter of an hour. A connection that only receives never " +
          "fails in this way; SO_KEEPALIVE, or messages of the program with a deadline, detect the failure.",
      },
    ];
  },
};
