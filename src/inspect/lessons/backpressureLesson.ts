// The lesson about backpressure: a reader stops reading, and then its sender has to stop too.

import { setTimeout as sleep } from "node:timers/promises";

import { SocketError } from "../../errors/index.js";
import { TCP_INFO } from "../../options/index.js";
import type { Socket } from "../../socket/index.js";
import { bytesText, type LessonPlan } from "./lesson.js";
import { describeOutcome } from "./outcome.js";
import { connectedPair } from "./pair.js";

/** The value for SO_RCVBUF and SO_SNDBUF. */
const BUFFER_BYTES = 32_768;
/** The number of bytes that the client tries to send. */
const TOTAL = 1_000_000;
/** The timeout of sendAll(), in ms. */
const SEND_TIMEOUT = 300;
/** How long, in ms, a step waits while the kernel sends window probes. */
const PROBE_TIME = 900;
/** The number of bytes that the first recv() takes. */
const FIRST_READ = 8192;

export const backpressureLesson: LessonPlan = {
  name: "backpressure",
  title: "A reader that stops",
  about:
    "A sender can be faster than its reader. You see how the kernel stops the sender, in which queues the bytes " +
    "wait, and what starts the sender again.",
  plan(scene) {
    let client: Socket;
    let connection: Socket;
    /** The number of bytes that the kernel of the client has taken. */
    let taken = 0;
    return [
      {
        title: "A connection with small buffers",
        code: () =>
          `server.setsockopt(SO_RCVBUF, ${BUFFER_BYTES});\nclient.setsockopt(SO_SNDBUF, ${BUFFER_BYTES});\nawait ` +
          "client.connect(server.getsockname());\nconst [connection] = await server.accept();\nserver.close();",
        async run() {
          ({ client, connection } = await connectedPair(scene, ["client", "connection"], BUFFER_BYTES));
          return "two connected sockets";
        },
        text:
          "Each end has a send buffer and a receive buffer in the kernel. Here they are small, so that they " +
          "fill quickly. The kernel doubles the value, because its own structures take a part of the buffer.",
      },
      {
        title: "The client sends more than fits",
        code: () => `await client.sendAll(Buffer.alloc(${TOTAL}), { timeout: ${SEND_TIMEOUT} });`,
        async run() {
          try {
            await client.sendAll(Buffer.alloc(TOTAL), { timeout: SEND_TIMEOUT });
            taken = TOTAL;
            return "nothing: the kernel has taken all of it";
          } catch (error) {
            if (!(error instanceof SocketError)) throw error;
            taken = error.transferred ?? 0;
            return `${error.code}: the kernel took ${bytesText(taken)} of ${bytesText(TOTAL)}`;
          }
        },
        text:
          "The server does not read. Its receive queue fills. Each ACK of the server's kernel contains the window: " +
          "the number of bytes for which the receive buffer has room. At window 0 the client's kernel stops " +
          "sending. Then the send buffer fills too, and sendAll() waits. Without the timeout, sendAll() would " +
          "wait until the reader reads.",
      },
      {
        title: "Nothing moves",
        code: () => `await setTimeout(${PROBE_TIME});\nclient.getsockopt(TCP_INFO);`,
        async run() {
          await sleep(PROBE_TIME);
          const { tcpi_state: state, tcpi_notsent_bytes: notSent, tcpi_probes: probes } = client.getsockopt(TCP_INFO);
          return `{ tcpi_state: "${state}", tcpi_notsent_bytes: ${notSent}, tcpi_probes: ${probes}, … }`;
        },
        text:
          "The connection has no error and no loss. From time to time the client's kernel sends a probe, and " +
          "the answer contains the window (tcpi_probes counts the probes since the window was last open). A send " +
          "queue that is full and does not change means that the reader has stopped; the inspector flags the " +
          "socket as stalled.",
      },
      {
        title: "The reader takes a little",
        code: () => `await connection.recv(${FIRST_READ});`,
        run: () => describeOutcome(connection.recv(FIRST_READ), (data) => bytesText(data.length)),
        text:
          "The receive buffer has room again, but the sender does not send yet. The kernel announces a window only " +
          "when a large part of the buffer is free, so that the sender does not send many small segments (RFC " +
          "9293, section 3.8.6.2.2).",
      },
      {
        title: "The reader reads the rest",
        code: () => `while (received < taken) received += (await connection.recv(65_536)).length;`,
        async run() {
          let received = FIRST_READ;
          while (received < taken) {
            // oxlint-disable-next-line no-await-in-loop -- a stream is read piece by piece
            const piece = await connection.recv(65_536, { timeout: 10_000 });
            if (piece.length === 0) break;
            received += piece.length;
          }
          return `${bytesText(received)} in all: each byte that the kernel had taken`;
        },
        text:
          "The window opens, the client's kernel sends the bytes of its send buffer, and the queues become " +
          "empty. No byte was lost.",
      },
      {
        title: "Sending works again",
        code: () => 'await client.sendAll("back to normal");',
        run: () => describeOutcome(client.sendAll("back to normal"), () => "nothing"),
        text:
          "This is backpressure: a program that awaits its writes sends only as fast as its peer reads. A " +
          "program that does not await them collects in memory the bytes that the kernel does not take.",
      },
    ];
  },
};
