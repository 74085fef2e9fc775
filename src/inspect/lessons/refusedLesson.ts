// The lesson about a connection that is refused.

import type { Socket } from "../../socket/index.js";
import { descriptorText, type LessonPlan } from "./lesson.js";
import { describeOutcome } from "./outcome.js";

const connectedText = (): string => "nothing: it is connected";

export const refusedLesson: LessonPlan = {
  name: "refused",
  title: "A connection that is refused",
  about:
    "connect() fails with ECONNREFUSED if no socket listens at the port. You see which packet causes the error, " +
    "when it arrives, and which call of the server is missing.",
  plan(scene) {
    let server: Socket;
    let client: Socket;
    let second: Socket;
    let port = 0;
    return [
      {
        title: "A port at which no socket listens",
        code: () => 'const server = new Socket();\nawait server.bind(["127.0.0.1", 0]);',
        async run() {
          server = scene.open("server");
          await server.bind(["127.0.0.1", 0]);
          ({ port } = server.getsockname() as { port: number });
          return `${descriptorText(server)}, port ${port}`;
        },
        text:
          "The server has an address and has not called listen(). So the port belongs to this socket, and " +
          "the kernel accepts no connection there.",
      },
      {
        title: "A client: connect",
        code: () => `const client = new Socket();\nawait client.connect(["127.0.0.1", ${port}]);`,
        run() {
          client = scene.open("client");
          return describeOutcome(client.connect(["127.0.0.1", port]), connectedText);
        },
        text:
          "The client's SYN arrives at a machine that runs. The kernel of that machine finds no socket that " +
          "listens at the port, and answers with RST, the reset. So connect() fails at once, without a timeout. " +
          "No program of the server takes part.",
      },
      {
        title: "The client connects again",
        code: () => `await client.connect(["127.0.0.1", ${port}]);`,
        run: () => describeOutcome(client.connect(["127.0.0.1", port]), connectedText),
        text:
          "The result is the same as long as no socket listens. If the machine were down, or if a firewall " +
          "dropped the SYN, there would be no answer: the kernel would send the SYN again, and connect() would " +
          "fail with ETIMEDOUT after minutes.",
      },
      {
        title: "The server: listen",
        code: () => "server.listen(1);",
        run() {
          server.listen(1);
          return "nothing";
        },
        text: "This call was missing.",
      },
      {
        title: "The same call as before",
        code: () => `const second = new Socket();\nawait second.connect(["127.0.0.1", ${port}]);`,
        run() {
          second = scene.open("second");
          return describeOutcome(second.connect(["127.0.0.1", port]), connectedText);
        },
        text: "Now the kernel answers the SYN with SYN ACK. The connection waits in the accept queue of the server.",
      },
      {
        title: "The server closes without accept()",
        code: () => "server.close();",
        run() {
          server.close();
          return "nothing";
        },
        text: "No program can accept the connection any more. So the kernel resets it, and the client is in CLOSE.",
      },
      {
        title: "The client receives",
        code: () => "await second.recv(1024);",
        run: () => describeOutcome(second.recv(1024), (data) => `${data.length} bytes`),
        text: "After a reset recv() fails. After FIN it returns 0 bytes.",
      },
    ];
  },
};
