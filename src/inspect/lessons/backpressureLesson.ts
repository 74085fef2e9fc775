// Backpressure: a reader that stops, and what its sender sees.

import { setTimeout as sleep } from "node:timers/promises";

import { SocketError } from "../../errors/index.js";
import { TCP_INFO } from "../../options/index.js";
import type { Socket } from "../../socket/index.js";
import { bytesText, type LessonPlan } from "./lesson.js";
import { outcome } from "./outcome.js";
import { connectedPair } from "./pair.js";

const BUFFER = 32_768;
const SENT = 1_000_000;
const PATIENCE = 300;
const PROBE_TIME = 900;

export const backpressureLesson: LessonPlan = {
  name: "backpressure",
  title: "A reader that stops",
  about:
    "A fast sender must not drown a slow reader. You see how the kernel holds the sender back, where the bytes wait meanwhile, and how it goes on.",
  plan(scene) {
    let client: Socket;
    let connection: Socket;
    let taken = 0;
    return [
      {
        title: "A connection with small buffers",
        code: () =>
          `server.setsockopt(SO_RCVBUF, ${BUFFER});\nclient.setsockopt(SO_SNDBUF, ${BUFFER});\nawait client.connect(server.getsockname());\nconst [connection] = await server.accept();\nserver.close();`,
        async run() {
          ({ client, connection } = await connectedPair(scene, ["client", "connection"], BUFFER));
          return "two connected sockets";
        },
        text: "Each end has a send buffer and a receive buffer in the kernel. Here they are small, so that they fill quickly. The kernel doubles the value that it is given, for its own administration.",
      },
      {
        title: "The client sends more than fits",
        code: () => `await client.sendAll(Buffer.alloc(${SENT}), { timeout: ${PATIENCE} });`,
        async run() {
          try {
            await client.sendAll(Buffer.alloc(SENT), { timeout: PATIENCE });
            taken = SENT;
            return "nothing: the kernel has taken all of it";
          } catch (error) {
            if (!(error instanceof SocketError)) throw error;
            taken = error.transferred ?? 0;
            return `${error.code}: the kernel took ${bytesText(taken)} of ${bytesText(SENT)}`;
          }
        },
        text: "The server does not read. Its receive queue fills. Each ACK of its kernel has the window: the bytes that it still has room for. At window 0 the client's kernel stops sending. Then the send buffer fills too, and sendAll() waits. Without its timeout it would wait for as long as the reader does nothing.",
      },
      {
        title: "Nothing moves",
        code: () => `await setTimeout(${PROBE_TIME});\nclient.getsockopt(TCP_INFO);`,
        async run() {
          await sleep(PROBE_TIME);
          const { tcpi_state: state, tcpi_notsent_bytes: notSent, tcpi_probes: probes } = client.getsockopt(TCP_INFO);
          return `{ tcpi_state: "${state}", tcpi_notsent_bytes: ${notSent}, tcpi_probes: ${probes}, … }`;
        },
        text: "The connection is healthy: no error, no loss. From time to time the client's kernel sends a probe to ask whether the window has opened (tcpi_probes counts those without an answer that opened it). A send queue that is full and does not move is the sign of a reader that has stopped; the inspector flags it as stalled.",
      },
      {
        title: "The reader takes a little",
        code: () => "await connection.recv(8192);",
        run: () => outcome(connection.recv(8192), (data) => bytesText(data.length)),
        text: "A little room does not help yet. The kernel announces a window again when there is room for a good part of the buffer: many tiny segments would cost more than they bring (RFC 9293, section 3.8.6.2.2).",
      },
      {
        title: "The reader reads on",
        code: () => `while (received < taken) received += (await connection.recv(65_536)).length;`,
        async run() {
          let received = 8192;
          while (received < taken) {
            // oxlint-disable-next-line no-await-in-loop -- a stream is read piece by piece
            const piece = await connection.recv(65_536, { timeout: 10_000 });
            if (piece.length === 0) break;
            received += piece.length;
          }
          return `${bytesText(received)} in all: each byte that the kernel had taken`;
        },
        text: "The window opens, the client's kernel sends what its buffer holds, and the queues are empty. Not a byte was lost, although the sender was far ahead.",
      },
      {
        title: "Sending works again",
        code: () => 'await client.sendAll("back to normal");',
        run: () => outcome(client.sendAll("back to normal"), () => "nothing"),
        text: "That is backpressure: a program that awaits its writes goes only as fast as its reader. One that does not await collects in memory what the kernel does not take.",
      },
    ];
  },
};
