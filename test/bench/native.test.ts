// The C programs: a load generator must notice a wrong answer of a server, or its figures would be meaningless.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { type AddressInfo, type Socket, createServer } from "node:net";
import { test } from "node:test";
import { promisify } from "node:util";

import { nativeProgram } from "../../bench/lib/native.js";

const run = promisify(execFile);
const pid = String(process.pid);

/** Drives a server in this process with 4 connections; what the load generator printed, or how it failed. */
async function driveTcp(answer: (data: Buffer, socket: Socket, all: Socket[]) => void): Promise<string> {
  const all: Socket[] = [];
  const server = createServer((socket) => {
    all.push(socket);
    socket.on("data", (data) => answer(data, socket, all));
    socket.on("error", () => socket.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    const { port } = server.address() as AddressInfo;
    const { stdout } = await run(await nativeProgram("tcp_echo_load"), [String(port), pid, "4", "64", "20", "50"]);
    return stdout;
  } finally {
    for (const socket of all) socket.destroy();
    server.close();
  }
}

test("tcp_echo_load accepts a true echo, whole or in pieces", async () => {
  const line = JSON.parse(
    await driveTcp((data, socket) => {
      socket.write(data.subarray(0, 10));
      socket.write(data.subarray(10));
    }),
  );
  assert.ok(line.count > 0);
  assert.ok(line.cpuNs > 0);
  assert.ok(line.elapsedNs >= 50e6);
  assert.ok(line.p99Ns >= line.p50Ns && line.p50Ns > 0);
});

test("tcp_echo_load refuses a reply with one wrong bit", async () => {
  let messages = 0;
  const wrong = driveTcp((data, socket) => {
    if (++messages === 100) data[63] = (data[63] as number) ^ 1;
    socket.write(data);
  });
  await assert.rejects(wrong, /the reply to message \d+ differs from it/);
});

test("tcp_echo_load refuses a reply that belongs to another connection", async () => {
  const swapped = driveTcp((data, socket, all) => (all[(all.indexOf(socket) + 1) % all.length] as Socket).write(data));
  await assert.rejects(swapped, /differs from it/);
});

test("tcp_echo_load refuses an old reply", async () => {
  let first: Buffer | undefined;
  const stale = driveTcp((data, socket, all) => {
    if (socket !== all[0]) return;
    first ??= Buffer.from(data);
    socket.write(first);
  });
  await assert.rejects(stale, /the reply to message 2 differs from it/);
});

test("tcp_echo_load refuses more bytes than it sent", async () => {
  await assert.rejects(
    driveTcp((data, socket) => socket.write(Buffer.concat([data, data]))),
    /more bytes came than were sent/,
  );
});

test("tcp_echo_load refuses a connection that ends", async () => {
  await assert.rejects(
    driveTcp((_, socket) => socket.end()),
    /closed connection \d+ after/,
  );
});

async function driveUdp(answer: (data: Buffer) => Buffer): Promise<string> {
  const socket = createSocket("udp4");
  socket.on("message", (data, { port, address }) => socket.send(answer(data), port, address));
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  try {
    const { port } = socket.address();
    const { stdout } = await run(await nativeProgram("udp_echo_load"), [String(port), pid, "2", "8", "64", "20", "50"]);
    return stdout;
  } finally {
    socket.close();
  }
}

test("udp_echo_load accepts a true echo", async () => {
  const line = JSON.parse(await driveUdp((data) => data));
  assert.ok(line.count > 0);
  assert.equal(line.lost, 0);
});

test("udp_echo_load refuses a reply with one wrong bit", async () => {
  let datagrams = 0;
  const wrong = driveUdp((data) => {
    if (++datagrams === 100) data[63] = (data[63] as number) ^ 1;
    return data;
  });
  await assert.rejects(wrong, /a reply differs from the datagram in slot \d+/);
});

test("udp_echo_load refuses a shortened reply", async () => {
  await assert.rejects(
    driveUdp((data) => data.subarray(1)),
    /a reply of 63 bytes came for a datagram of 64/,
  );
});

test("start_to_exit measures the whole life of a program: clock, CPU and the most memory", async () => {
  const program = `
    const block = Buffer.alloc(100e6, 1);
    while (process.cpuUsage().user < 100e3);
    process.stdout.write("not for the reader of the line");`;
  const { stdout } = await run(await nativeProgram("start_to_exit"), [process.execPath, "-e", program]);
  const line = JSON.parse(stdout);
  assert.ok(line.userNs >= 100e6 && line.userNs < 60e9);
  assert.ok(line.elapsedNs >= 50e6);
  assert.ok(line.maxRssBytes >= 100e6 && line.maxRssBytes < 1e9, `${line.maxRssBytes} bytes`);
});

test("start_to_exit refuses a program that fails", async () => {
  const program = await nativeProgram("start_to_exit");
  await assert.rejects(run(program, ["sh", "-c", "exit 3"]), /sh ended with status 3/);
  await assert.rejects(run(program, ["sh", "-c", "kill -9 $$"]), /sh ended by signal 9/);
  await assert.rejects(run(program, ["/no/such/program"]), /No such file/);
});

test("nativeProgram() compiles a program once", async () => {
  const [first, second] = await Promise.all([nativeProgram("probe"), nativeProgram("probe")]);
  assert.equal(first, second);
});

test("nativeProgram() refuses a program that does not exist", async () => {
  await assert.rejects(nativeProgram("no_such_program"), { code: "ENOENT" });
});
