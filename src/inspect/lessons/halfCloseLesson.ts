// The lesson about half-close: one direction of a connection ends, and the other continues.

import type { Socket } from "../../socket/index.js";
import { SHUT_WR } from "../../sys/constants.js";
import { bytesText, type LessonPlan, quoted } from "./lesson.js";
import { describeOutcome } from "./outcome.js";
import { connectedPair } from "./pair.js";

export const halfCloseLesson: LessonPlan = {
  name: "halfClose",
  title: "Half-close",
  about:
    "A connection has two directions, and each can end without the other. A client can end its request with FIN " +
    "and still receive the answer.",
  plan(scene) {
    let client: Socket;
    let connection: Socket;
    return [
      {
        title: "A connection",
        code: () =>
          "await client.connect(server.getsockname());\nconst [connection] = await server.accept();\nserver.close();",
        async run() {
          ({ client, connection } = await connectedPair(scene));
          return "two connected sockets";
        },
        text: "The client and the server's end of a connection, both ESTABLISHED.",
      },
      {
        title: "The request, and its end",
        code: () => 'await client.sendAll("all of my request");\nclient.shutdown(SHUT_WR);',
        async run() {
          await client.sendAll("all of my request");
          client.shutdown(SHUT_WR);
          return "nothing";
        },
        text:
          "shutdown(SHUT_WR) makes the kernel send FIN after the bytes. The descriptor stays open. The " +
          "client is in FIN_WAIT2: it has finished and waits for the FIN of the peer. The server's end is in " +
          "CLOSE_WAIT.",
      },
      {
        title: "The server reads to the end",
        code: () => "await connection.recv(1024);\nawait connection.recv(1024);",
        async run() {
          const request = await connection.recv(1024);
          const end = await connection.recv(1024);
          return `${quoted(request)}, then ${bytesText(end.length)}`;
        },
        text:
          "recv() returns the bytes, then 0 bytes: the client sends no more. So the end of a request can be " +
          "marked by FIN, without a length or a delimiter.",
      },
      {
        title: "The server answers",
        code: () => 'await connection.sendAll("the answer");\nawait client.recv(1024);',
        async run() {
          await connection.sendAll("the answer");
          return quoted(await client.recv(1024));
        },
        text: "The direction from the server to the client is still open, so the client receives the answer.",
      },
      {
        title: "The client can't send any more",
        code: () => 'await client.sendAll("one more thing");',
        run: () => describeOutcome(client.sendAll("one more thing"), () => "nothing"),
        text:
          "After its FIN the client's kernel refuses to send: EPIPE. No packet is sent. A half-close can't " +
          "be undone.",
      },
      {
        title: "The server closes",
        code: () => "connection.close();\nawait client.recv(1024);",
        async run() {
          connection.close();
          return quoted(await client.recv(1024));
        },
        text:
          "The second FIN ends the second direction. The client finished first, so its end is the one in " +
          "TIME_WAIT: the kernel reports that state as CLOSE for a socket that is still open.",
      },
    ];
  },
};
