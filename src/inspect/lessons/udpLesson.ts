// The lesson about UDP.

import type { Socket } from "../../socket/index.js";
import { SOCK_DGRAM } from "../../sys/constants.js";
import { bytesText, descriptorText, type LessonPlan } from "./lesson.js";
import { describeOutcome } from "./outcome.js";

export const udpLesson: LessonPlan = {
  name: "udp",
  title: "Datagrams, without a connection",
  about:
    "UDP sends single messages. There is no handshake, no order, and no acknowledgement by the kernel of the " +
    "peer. You see what a program has to do itself.",
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
          return `${descriptorText(receiver)}, port ${port}`;
        },
        text:
          "A UDP server needs no other call before it receives. It does not call listen() or accept(), " +
          "because there are no connections: one socket receives from all senders.",
      },
      {
        title: "A second socket",
        code: () => "const sender = new Socket(AF_INET, SOCK_DGRAM);",
        run() {
          sender = scene.open("sender", SOCK_DGRAM);
          return descriptorText(sender);
        },
        text: "The sender needs no bind(). The socket has no address yet.",
      },
      {
        title: "sendto",
        code: () => `await sender.sendto("one", ["127.0.0.1", ${port}]);`,
        async run() {
          return bytesText(await sender.sendto("one", ["127.0.0.1", port]));
        },
        text:
          "The kernel sends one packet, and there is no answer. The kernel has given the sender a port, so " +
          "that the receiver can reply. The datagram waits in the receive queue. For UDP the kernel reports the " +
          "size of the first datagram of the queue, here 3 bytes, and not that of the others.",
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
        text:
          "Each sendto() is a packet of its own. If the queue of the receiver is full, the kernel drops the " +
          "datagram, and sendto() succeeds all the same.",
      },
      {
        title: "recvfrom",
        code: () => "await receiver.recvfrom(1024);",
        async run() {
          const [data, address] = await receiver.recvfrom(1024);
          return `[${JSON.stringify(data.toString())}, ${String(address)}]`;
        },
        text:
          "recvfrom() returns one datagram and the address of its sender. It never returns two at once: UDP " +
          "keeps the boundaries of messages, and TCP does not.",
      },
      {
        title: "A buffer that is too small",
        code: () => "await receiver.recvfrom(1);\nawait receiver.recvfrom(1024);",
        async run() {
          const [start] = await receiver.recvfrom(1);
          const [next] = await receiver.recvfrom(1024);
          return `${JSON.stringify(start.toString())}, then ${JSON.stringify(next.toString())}`;
        },
        text:
          "The first call had room for 1 byte of “two”. The kernel discards the rest of that datagram, so " +
          "the next call returns the next datagram.",
      },
      {
        title: "The receiver has closed",
        code: () => `receiver.close();\nawait sender.sendto("anything", ["127.0.0.1", ${port}]);`,
        async run() {
          receiver.close();
          return bytesText(await sender.sendto("anything", ["127.0.0.1", port]));
        },
        text:
          "sendto() succeeds although no socket has the port: the result means only that the packet was " +
          "sent. The kernel of the receiver answers with an ICMP error. The kernel reports this error only " +
          "to a connected socket, and this socket is not connected.",
      },
      {
        title: "connect",
        code: () => `await sender.connect(["127.0.0.1", ${port}]);\nawait sender.send("anything");`,
        async run() {
          await sender.connect(["127.0.0.1", port]);
          return bytesText(await sender.send("anything"));
        },
        text:
          "For UDP connect() sends nothing. It stores the peer's address in the socket. From now on the " +
          "socket receives from that address alone, and the kernel reports ICMP errors to it. The error that " +
          "this send() has caused is stored in the socket.",
      },
      {
        title: "The next call returns the error",
        code: () => 'await sender.send("anything");',
        run: () => describeOutcome(sender.send("anything"), bytesText),
        text:
          "The call returns the error of the previous datagram. If a program needs an acknowledgement, its " +
          "protocol has to send one, and the program waits for it with a timeout.",
      },
    ];
  },
};
