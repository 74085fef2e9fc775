// Host and port as two arguments, as in node:dgram and node:net, are refused, and the message shows the right form.
import assert from "node:assert/strict";
import { test } from "node:test";
import { AF_INET, bindUdp, connect, connectUdp, listen, SOCK_DGRAM, Socket } from "berkeley";
import { Socket as SyncSocket } from "berkeley/sync";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

type Call = (...args: unknown[]) => unknown;

/** Each call with arguments of another library, and the form in the message. */
async function shows(call: Call, args: readonly unknown[], text: string): Promise<void> {
  await assert.rejects(
    async () => await call(...args),
    (error: Error) => {
      assert.ok(error instanceof TypeError, String(error));
      assert.ok(error.message.endsWith(text), error.message);
      return true;
    },
  );
}

test("host and port as two arguments: the message has the right form", async () => {
  await using udp = await bindUdp("udp://127.0.0.1:0");
  await using connected = await connectUdp(udp.address);
  await using socket = new Socket(AF_INET, SOCK_DGRAM);
  using blocking = new SyncSocket(AF_INET, SOCK_DGRAM);
  const one = "; an address is one argument: ";
  for (const sender of [udp, connected]) {
    const send = sender.send.bind(sender) as Call;
    await shows(
      send,
      ["x", 9, "127.0.0.1"],
      `options are "127.0.0.1", required an object${one}send(data, [host, port])`,
    );
    await shows(send, [Buffer.from("x"), 0, 1, 9, "127.0.0.1"], `${one}send(data, [host, port])`);
    await shows(send, ["x", ["127.0.0.1", 9], () => undefined], "required an object; the call takes no callback");
  }
  for (const each of [socket, blocking]) {
    await shows(each.sendto.bind(each) as Call, ["x", 9, "127.0.0.1"], `${one}sendto(data, [host, port])`);
    await shows(each.sendto.bind(each) as Call, ["x", "127.0.0.1", 9], `${one}sendto(data, [host, port])`);
    await shows(each.bind.bind(each) as Call, [0, "127.0.0.1"], `${one}bind([host, port])`);
    await shows(each.connect.bind(each) as Call, [9, "127.0.0.1"], `${one}connect([host, port])`);
  }
  await shows(connect as Call, [9, "127.0.0.1"], `${one}connect({ host, port })`);
  await shows(listen as Call, [0, "127.0.0.1"], `${one}listen({ host, port })`);
  await shows(bindUdp as Call, [0, "127.0.0.1"], `${one}bindUdp({ host, port })`);
  await shows(connectUdp as Call, [9, "127.0.0.1"], `${one}connectUdp({ host, port })`);
  await shows(listen as Call, [0, () => undefined], "; the call takes no callback");
  await shows(
    udp.join.bind(udp) as Call,
    ["224.0.0.1", "127.0.0.1"],
    'required an object: join(group, { interface: "127.0.0.1" })',
  );
  // The forms that the messages show.
  await udp.send("x", ["127.0.0.1", udp.address.port]);
  assert.equal((await udp.receive()).data.toString(), "x");
});

test("a number that is no option is refused without a form where no address belongs", async () => {
  await using socket = new Socket(AF_INET, SOCK_DGRAM);
  await shows(socket.recv.bind(socket) as Call, [10, 2], "options are 2, required an object");
});
