// The source addresses of UDP sockets, on replaced calls.

import assert from "node:assert/strict";
import { test } from "node:test";
import { bindUdp, connectUdp } from "berkeley";
import { calls } from "#berkeley/sys/calls.js";
import { checkLeaks } from "../support/leaks.js";
import { rejection } from "./support.js";

checkLeaks();

test("a socket bound to one address, and a connected one, requests no control data", async (t) => {
  const { recvmsg } = calls;
  t.after(() => Object.assign(calls, { recvmsg }));
  calls.recvmsg = () => assert.fail("it was recvmsg");
  await using server = await bindUdp("udp://127.0.0.6:0");
  await using client = await connectUdp(server.address);
  await client.send("question");
  const packet = await server.receive();
  assert.equal(String(packet.localAddress), String(server.address));
  assert.equal(packet.ifindex, undefined);
  await server.send("answer", packet.address, packet);
  assert.equal(String((await client.receive()).localAddress), String(client.address));
});

test("an answer is sent from another address if the address of the request is gone", async (t) => {
  const { sendmsg } = calls;
  t.after(() => Object.assign(calls, { sendmsg }));
  await using server = await bindUdp("udp://0.0.0.0:0");
  await using client = await bindUdp("udp://127.0.0.1:0");
  await client.send("question", ["127.0.0.2", server.address.port]);
  const packet = await server.receive();
  calls.sendmsg = () => -22;
  await server.send("answer", packet.address);
  assert.equal((await client.receive()).address.host, "127.0.0.1");
  // A caller that gives the address gets the error.
  assert.equal((await rejection(server.send("answer", packet.address, packet))).code, "EINVAL");
  calls.sendmsg = () => -90;
  assert.equal((await rejection(server.send("answer", packet.address))).code, "EMSGSIZE");
});
