// A connection that is refused.

import type { Socket } from "../../socket/index.js";
import { descriptorOf, type LessonPlan } from "./lesson.js";
import { outcome } from "./outcome.js";

const connected = (): string => "nothing: it is connected";

export const refusedLesson: LessonPlan = {
  name: "refused",
  title: "A connection that is refused",
  about:
    "ECONNREFUSED is the error that every network programmer meets first. You see who says no, how fast, and what makes the same call succeed.",
  plan(scene) {
    let server: Socket;
    let client: Socket;
    let second: Socket;
    let port = 0;
    return [
      {
        title: "A port where nobody listens",
        code: () => 'const server = new Socket();\nawait server.bind(["127.0.0.1", 0]);',
        async run() {
          server = scene.open("server");
          await server.bind(["127.0.0.1", 0]);
          ({ port } = server.getsockname() as { port: number });
          return `${descriptorOf(server)}, port ${port}`;
        },
        text: "The server has an address and has not called listen(). So the port belongs to it, and nobody takes connections there.",
      },
      {
        title: "A client: connect",
        code: () => `const client = new Socket();\nawait client.connect(["127.0.0.1", ${port}]);`,
        run() {
          client = scene.open("client");
          return outcome(client.connect(["127.0.0.1", port]), connected);
        },
        text: "The client's SYN arrives at a machine that is up. Its kernel finds no socket that listens at the port and answers with RST, the reset. So the client has its answer at once, without a timeout. No program of the server has taken part.",
      },
      {
        title: "And again",
        code: () => `await client.connect(["127.0.0.1", ${port}]);`,
        run: () => outcome(client.connect(["127.0.0.1", port]), connected),
        text: "Trying again gives the same answer as long as nobody listens. If the machine were down, or a firewall dropped the SYN, no answer would come: connect() would wait, send the SYN again, and fail with ETIMEDOUT after minutes.",
      },
      {
        title: "The server: listen",
        code: () => "server.listen(1);",
        run() {
          server.listen(1);
          return "nothing";
        },
        text: "The one call that was missing.",
      },
      {
        title: "The same call as before",
        code: () => `const second = new Socket();\nawait second.connect(["127.0.0.1", ${port}]);`,
        run() {
          second = scene.open("second");
          return outcome(second.connect(["127.0.0.1", port]), connected);
        },
        text: "Now the kernel answers the SYN with SYN ACK. The connection waits in the accept queue.",
      },
      {
        title: "The server closes without accept()",
        code: () => "server.close();",
        run() {
          server.close();
          return "nothing";
        },
        text: "The connection in the accept queue has no program that could take it any more. The kernel resets it, and the client is in CLOSE.",
      },
      {
        title: "What the client gets",
        code: () => "await second.recv(1024);",
        run: () => outcome(second.recv(1024), (data) => `${data.length} bytes`),
        text: "A reset is an error, where FIN is an end: recv() does not return 0 bytes, it fails.",
      },
    ];
  },
};
