// The lesson about TCP: the seven calls of a server, with the calls of its client between them.

import type { Socket } from "../../socket/index.js";
import { bytesText, descriptorText, type LessonPlan, quoted } from "./lesson.js";

export const tcpLesson: LessonPlan = {
  name: "tcp",
  title: "A connection, in seven steps",
  about:
    "A server makes seven calls: socket, bind, listen, accept, recv, send, close. You see what the kernel does " +
    "in each of them, and in the calls of a client between them.",
  plan(scene) {
    let server: Socket;
    let client: Socket;
    let connection: Socket;
    let port = 0;
    return [
      {
        title: "socket",
        code: () => "const server = new Socket(AF_INET, SOCK_STREAM);",
        run() {
          server = scene.open("server");
          return descriptorText(server);
        },
        text:
          "The kernel makes a socket for TCP over IPv4 and returns its number, the descriptor. The socket " +
          "has no address, so no other program can connect to it. The state CLOSE means that the socket has no " +
          "connection.",
      },
      {
        title: "bind",
        code: () => 'await server.bind(["127.0.0.1", 0]);',
        async run() {
          await server.bind(["127.0.0.1", 0]);
          ({ port } = server.getsockname() as { port: number });
          return `nothing; the port is ${port}`;
        },
        text:
          "The socket gets an address: an IP address of this machine and a port. With port 0 the kernel " +
          "chooses a free port. A server that others connect to has a known port, such as 80.",
      },
      {
        title: "listen",
        code: () => "server.listen(5);",
        run() {
          server.listen(5);
          return "nothing";
        },
        text:
          "From now on the kernel completes handshakes at this address, and puts the connections into the " +
          "accept queue until the program accepts them. The argument 5 limits the length of the queue.",
      },
      {
        title: "The client: connect",
        code: () => `const client = new Socket(AF_INET, SOCK_STREAM);\nawait client.connect(["127.0.0.1", ${port}]);`,
        async run() {
          client = scene.open("client");
          await client.connect(["127.0.0.1", port]);
          return "nothing: it is connected";
        },
        text:
          "connect() starts the handshake, which has three packets: SYN from the client, SYN ACK from the " +
          "server, ACK from the client. Here both ends are in the same kernel. The client is connected although " +
          "the server has not called accept() yet: the connection is in the accept queue. The kernel has also " +
          "chosen a port for the client.",
      },
      {
        title: "accept",
        code: () => "const [connection, address] = await server.accept();",
        async run() {
          const [accepted, address] = await server.accept();
          connection = scene.add("connection", accepted);
          return `[${descriptorText(connection)}, ${address}]`;
        },
        text:
          "accept() removes the connection from the queue and returns a second socket, for this client. The " +
          "first socket still listens. No packet is sent, because the connection exists already.",
      },
      {
        title: "The client: send",
        code: () => 'await client.sendAll("Hello, Server");',
        async run() {
          await client.sendAll("Hello, Server");
          return "nothing: the kernel has taken all 13 bytes";
        },
        text:
          "The kernel copies the bytes and sends them in a segment; the kernel of the peer answers with ACK. " +
          "The bytes now wait in the receive queue of the connection. sendAll() returns before the server has " +
          "read them.",
      },
      {
        title: "recv",
        code: () => "await connection.recv(1024);",
        async run() {
          return quoted(await connection.recv(1024));
        },
        text:
          "recv() removes at most 1,024 bytes from the receive queue and returns them. If the queue were " +
          "empty, recv() would wait. TCP is a stream of bytes without boundaries: recv() can return the bytes of " +
          "two sends at once, or the bytes of one send in parts.",
      },
      {
        title: "send",
        code: () => 'await connection.sendAll("Welcome to my server");',
        async run() {
          await connection.sendAll("Welcome to my server");
          return "nothing: the kernel has taken all 20 bytes";
        },
        text:
          "The server sends in the other direction. A connection has a stream of bytes in each direction, " +
          "and the two are independent of each other.",
      },
      {
        title: "close",
        code: () => "connection.close();",
        run() {
          connection.close();
          return "nothing";
        },
        text:
          "close() frees the descriptor. The kernel sends FIN: this end sends no more bytes. The kernel of " +
          "the client acknowledges FIN, and the client is in CLOSE_WAIT: the peer has finished, and this end has " +
          "not. The kernel keeps the server's end without a descriptor until the client closes too.",
      },
      {
        title: "The client: recv, and close",
        code: () => "await client.recv(1024);\nawait client.recv(1024);\nclient.close();",
        async run() {
          const answer = await client.recv(1024);
          const end = await client.recv(1024);
          client.close();
          return `${quoted(answer)}, then ${bytesText(end.length)}: the end of the stream`;
        },
        text:
          "The answer was in the receive queue and is not lost. After it recv() returns 0 bytes, because the " +
          "peer has sent FIN. The client closes, and its kernel sends the second FIN. The end that closed first " +
          "stays in TIME_WAIT for a minute, so that a late packet does not reach a new connection. No " +
          "descriptor refers to this end any more.",
      },
      {
        title: "The server stops",
        code: () => "server.close();",
        run() {
          server.close();
          return "nothing";
        },
        text:
          "The kernel accepts no connections at the port any more. It would reset connections that are still " +
          "in the accept queue; there are none.",
      },
    ];
  },
};
