// VM sockets, as far as this kernel supports them, over their loopback if there is one. Nothing leaves the machine.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AF_VSOCK,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  Socket,
  VMADDR_CID_ANY,
  VMADDR_CID_LOCAL,
  VMADDR_PORT_ANY,
} from "berkeley";
import { checkLeaks } from "../../support/leaks.js";
import { errnoOf, errnoOfSocket } from "./kernel.js";

checkLeaks();

for (const [name, type] of [
  ["SOCK_STREAM", SOCK_STREAM],
  ["SOCK_SEQPACKET", SOCK_SEQPACKET],
  ["SOCK_DGRAM", SOCK_DGRAM],
] as const) {
  test(`${name} of AF_VSOCK is made, bound and refused as the kernel says`, async () => {
    const errno = errnoOfSocket(AF_VSOCK, type, 0);
    if (errno !== undefined) {
      assert.throws(() => new Socket(AF_VSOCK, type), { name: "SocketError", code: errno, syscall: "socket" });
      return;
    }
    await using socket = new Socket(AF_VSOCK, type);
    const bind = errnoOf(`socket.socket(${AF_VSOCK}, ${type}).bind((${VMADDR_CID_ANY}, ${VMADDR_PORT_ANY}))`);
    const bound = socket.bind({ cid: VMADDR_CID_ANY, port: VMADDR_PORT_ANY });
    if (bind !== undefined) {
      await assert.rejects(bound, { code: bind, syscall: "bind" });
      return;
    }
    await bound;
    const { cid, port } = socket.getsockname();
    assert.equal(cid, VMADDR_CID_ANY);
    assert.ok(port > 0 && port < VMADDR_PORT_ANY);
    assert.throws(() => socket.getpeername(), { code: "ENOTCONN" });
    assert.equal(String(socket.getsockname()), `vsock:${VMADDR_CID_ANY}:${port}`);
  });

  test(`${name} of AF_VSOCK works over the loopback, or its address is refused`, async () => {
    const loopback = errnoOf(`socket.socket(${AF_VSOCK}, ${type}).bind((${VMADDR_CID_LOCAL}, ${VMADDR_PORT_ANY}))`);
    const listen = async (): Promise<Socket> => {
      const server = new Socket(AF_VSOCK, type);
      try {
        await server.bind(`vsock:${VMADDR_CID_LOCAL}:${VMADDR_PORT_ANY}`);
        server.listen(1);
      } catch (error) {
        server.close();
        throw error;
      }
      return server;
    };
    if (loopback !== undefined) {
      await assert.rejects(listen(), { name: "SocketError", code: loopback });
      return;
    }
    await using server = await listen();
    await using client = new Socket(AF_VSOCK, type);
    await client.connect(server.getsockname());
    const [accepted] = await server.accept();
    await using conn = accepted;
    await client.sendAll("over vsock");
    assert.equal((await conn.recv(100)).toString(), "over vsock");
    client.close();
    assert.equal((await conn.recv(100)).length, 0);
  });
}
