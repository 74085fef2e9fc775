// The seven steps of a server, with the calls of its client between them.

import type { Socket } from "../../socket/index.js";
import { bytesText, descriptorOf, type LessonPlan, quoted } from "./lesson.js";

export const tcpLesson: LessonPlan = {
  name: "tcp",
  title: "A connection, in seven steps",
  about:
    "A server makes seven calls: socket, bind, listen, accept, recv, send, close. You see what the kernel does at each of them, and at the calls of a client between them.",
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
          return descriptorOf(server);
        },
        text: "The kernel makes an endpoint for TCP over IPv4. The program gets a number for it, the descriptor. The endpoint has no address, so no other program can reach it. The state CLOSE means that it has no connection.",
      },
      {
        title: "bind",
        code: () => 'await server.bind(["127.0.0.1", 0]);',
        async run() {
          await server.bind(["127.0.0.1", 0]);
          ({ port } = server.getsockname() as { port: number });
          return `nothing; the port is ${port}`;
        },
        text: "The endpoint gets an address: an IP address of this machine and a port. Port 0 makes the kernel choose a free one. Programs that are to be found use a number that others know, such as 80.",
      },
      {
        title: "listen",
        code: () => "server.listen(5);",
        run() {
          server.listen(5);
          return "nothing";
        },
        text: "From now on the kernel takes connections at this address. It does so by itself, and puts them into the accept queue until the program takes them. The 5 limits that queue.",
      },
      {
        title: "The client: connect",
        code: () => `const client = new Socket(AF_INET, SOCK_STREAM);\nawait client.connect(["127.0.0.1", ${port}]);`,
        async run() {
          client = scene.open("client");
          await client.connect(["127.0.0.1", port]);
          return "nothing: it is connected";
        },
        text: "The two kernels shake hands with three packets: SYN asks for a connection, SYN ACK agrees, ACK confirms. Here both are the same kernel. The client is connected although the server has not called accept() yet: the connection is in the accept queue. The kernel has also chosen a port for the client.",
      },
      {
        title: "accept",
        code: () => "const [connection, address] = await server.accept();",
        async run() {
          const [accepted, address] = await server.accept();
          connection = scene.add("connection", accepted);
          return `[${descriptorOf(connection)}, ${address}]`;
        },
        text: "accept() takes the connection out of the queue. The program gets a second socket, for this one client. The first socket goes on listening. No packet is needed, because the connection exists already.",
      },
      {
        title: "The client: send",
        code: () => 'await client.sendAll("Hello, Server");',
        async run() {
          await client.sendAll("Hello, Server");
          return "nothing: the kernel has taken all 13 bytes";
        },
        text: "The kernel copies the bytes and sends them in a segment; the other side answers with ACK. The bytes now wait in the receive queue of the connection. That sendAll() has returned does not say that the server has read them.",
      },
      {
        title: "recv",
        code: () => "await connection.recv(1024);",
        async run() {
          return quoted(await connection.recv(1024));
        },
        text: "recv() takes the bytes out of the receive queue, 1,024 at most. If the queue were empty, recv() would wait. TCP is a stream of bytes without borders: two sends can arrive as one piece, and one send as several.",
      },
      {
        title: "send",
        code: () => 'await connection.sendAll("Welcome to my server");',
        async run() {
          await connection.sendAll("Welcome to my server");
          return "nothing: the kernel has taken all 20 bytes";
        },
        text: "The answer goes the other way. A connection has a stream of bytes in each direction, and the two do not depend on each other.",
      },
      {
        title: "close",
        code: () => "connection.close();",
        run() {
          connection.close();
          return "nothing";
        },
        text: "The program gives its descriptor back. The kernel sends FIN: no more bytes will come from here. The client acknowledges it and is in CLOSE_WAIT: the peer has finished, this side has not. The kernel keeps the server's end without a descriptor until the client closes too.",
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
        text: "The answer was in the receive queue and is not lost. After it recv() returns 0 bytes: that is how a program sees a FIN. The client closes and its kernel sends the second FIN. The end that closed first stays in TIME_WAIT for a minute, so that late packets meet no new connection. There is no descriptor for it any more.",
      },
      {
        title: "The server stops",
        code: () => "server.close();",
        run() {
          server.close();
          return "nothing";
        },
        text: "The port listens no more. The kernel would reset connections that are still in the accept queue; there are none.",
      },
    ];
  },
};
