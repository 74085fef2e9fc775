// Datagrams.

import type { Socket } from "../../socket/index.js";
import { SOCK_DGRAM } from "../../sys/constants.js";
import { bytesText, descriptorOf, type LessonPlan } from "./lesson.js";
import { outcome } from "./outcome.js";

export const udpLesson: LessonPlan = {
  name: "udp",
  title: "Datagrams, without a connection",
  about:
    "UDP sends single messages. There is no handshake, no order, and no answer from the kernel of the other side. You see what is left to the program.",
  plan(scene) {
    let receiver: Socket;
    let sender: Socket;
    let port = 0;
    return [
      {
        title: "socket and bind",
        code: () => 'const receiver = new Socket(AF_INET, SOCK_DGRAM);\nawait receiver.bind(["127.0.0.1", 0]);',
        async run() {
          receiver = scene.open("receiver", SOCK_DGRAM);
          await receiver.bind(["127.0.0.1", 0]);
          ({ port } = receiver.getsockname() as { port: number });
          return `${descriptorOf(receiver)}, port ${port}`;
        },
        text: "That is all a UDP server needs. It does not call listen() or accept(), because there are no connections: one socket receives from all senders.",
      },
      {
        title: "A second socket",
        code: () => "const sender = new Socket(AF_INET, SOCK_DGRAM);",
        run() {
          sender = scene.open("sender", SOCK_DGRAM);
          return descriptorOf(sender);
        },
        text: "The sender needs no bind(). It has no address yet.",
      },
      {
        title: "sendto",
        code: () => `await sender.sendto("one", ["127.0.0.1", ${port}]);`,
        async run() {
          return bytesText(await sender.sendto("one", ["127.0.0.1", port]));
        },
        text: "One packet, and no answer to it. The kernel has given the sender a port, so that the receiver can reply. The datagram waits in the receive queue. For UDP the kernel reports the size of the datagram that is next, here 3 bytes, and not those behind it.",
      },
      {
        title: "Two more",
        code: () =>
          `await sender.sendto("two", ["127.0.0.1", ${port}]);\nawait sender.sendto("three", ["127.0.0.1", ${port}]);`,
        async run() {
          const first = await sender.sendto("two", ["127.0.0.1", port]);
          const second = await sender.sendto("three", ["127.0.0.1", port]);
          return `${bytesText(first)}, ${bytesText(second)}`;
        },
        text: "Each sendto() is a packet of its own. If the queue of the receiver is full, the kernel drops the datagram and nobody is told.",
      },
      {
        title: "recvfrom",
        code: () => "await receiver.recvfrom(1024);",
        async run() {
          const [data, address] = await receiver.recvfrom(1024);
          return `[${JSON.stringify(data.toString())}, ${String(address)}]`;
        },
        text: "recvfrom() returns one datagram and the address of its sender. It never returns two at once: datagrams keep their borders, where TCP has a stream.",
      },
      {
        title: "A buffer that is too small",
        code: () => "await receiver.recvfrom(1);\nawait receiver.recvfrom(1024);",
        async run() {
          const [cut] = await receiver.recvfrom(1);
          const [next] = await receiver.recvfrom(1024);
          return `${JSON.stringify(cut.toString())}, then ${JSON.stringify(next.toString())}`;
        },
        text: "The first call had room for 1 byte of “two”. The kernel discards the rest of that datagram, so the next call returns the next datagram.",
      },
      {
        title: "Nobody is there",
        code: () => `receiver.close();\nawait sender.sendto("hello?", ["127.0.0.1", ${port}]);`,
        async run() {
          receiver.close();
          return bytesText(await sender.sendto("hello?", ["127.0.0.1", port]));
        },
        text: "sendto() succeeds although no socket has the port: it says only that the packet was sent. The kernel of the other machine answers with an ICMP error. A socket without a connected peer does not get it.",
      },
      {
        title: "connect",
        code: () => `await sender.connect(["127.0.0.1", ${port}]);\nawait sender.send("hello?");`,
        async run() {
          await sender.connect(["127.0.0.1", port]);
          return bytesText(await sender.send("hello?"));
        },
        text: "For UDP connect() sends nothing. It stores the peer's address in the socket. From now on the socket receives from that address alone, and it gets ICMP errors: the error of this send() now waits in the socket.",
      },
      {
        title: "The error comes with the next call",
        code: () => 'await sender.send("hello?");',
        run: () => outcome(sender.send("hello?"), bytesText),
        text: "The call reports the error of the datagram before it. A program that needs an answer has to send one, and to wait for it with a timeout.",
      },
    ];
  },
};
