// The properties of errors of the kernel: code, errno, syscall, address, port or path, message.

import assert from "node:assert/strict";
import { constants } from "node:os";
import { test } from "node:test";
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  type InetAddress,
  OpaqueAddress,
  SOCK_DGRAM,
  SOCK_STREAM,
  Socket,
  SocketError,
  type SocketErrorDetails,
  UnixAddress,
} from "berkeley";
import { families, listening } from "../support/families.js";
import { checkLeaks, openDescriptors } from "../support/leaks.js";

checkLeaks();

interface Expected extends SocketErrorDetails {
  readonly code: string;
  readonly syscall: string;
  readonly message: string;
}

const sockets = (): string[] => [...openDescriptors().values()].filter((target) => target.startsWith("socket:"));

async function refused(call: () => unknown, expected: Expected): Promise<void> {
  const before = sockets();
  let error: unknown;
  try {
    await call();
  } catch (thrown) {
    error = thrown;
  }
  assert.ok(error instanceof SocketError, String(error));
  assert.ok(error instanceof Error);
  assert.equal(error.name, "SocketError");
  const { code, errno, syscall, message, address, port, path, transferred } = error;
  assert.deepEqual(
    { code, syscall, message, address, port, path, transferred },
    { address: undefined, port: undefined, path: undefined, transferred: undefined, ...expected },
  );
  assert.equal(errno, -(constants.errno as Record<string, number>)[code]!);
  for (const name of ["address", "port", "path", "transferred"] as const) {
    assert.equal(name in error, expected[name] !== undefined, `${name} is there only if it means something`);
  }
  assert.ok(String(error.stack).includes(message));
  assert.deepEqual(sockets(), before);
}

test("connect() says where to", async () => {
  const closed = await listening();
  const { port } = closed.getsockname() as InetAddress;
  closed.close();
  await using client = new Socket();
  await refused(() => client.connect(["127.0.0.1", port]), {
    code: "ECONNREFUSED",
    syscall: "connect",
    address: "127.0.0.1",
    port,
    message: `connect ECONNREFUSED 127.0.0.1:${port}: connection refused`,
  });
  await using six = new Socket(AF_INET6);
  await refused(() => six.connect(["::1", port]), {
    code: "ECONNREFUSED",
    syscall: "connect",
    address: "::1",
    port,
    message: `connect ECONNREFUSED [::1]:${port}: connection refused`,
  });
  await using unix = new Socket(AF_UNIX);
  await refused(() => unix.connect(new UnixAddress("\0nobody-is-here")), {
    code: "ECONNREFUSED",
    syscall: "connect",
    path: "\0nobody-is-here",
    message: "connect ECONNREFUSED @nobody-is-here: connection refused",
  });
});

test("bind() says what", async () => {
  await using server = await listening();
  const { port } = server.getsockname() as InetAddress;
  await using other = new Socket();
  await refused(() => other.bind(["127.0.0.1", port]), {
    code: "EADDRINUSE",
    syscall: "bind",
    address: "127.0.0.1",
    port,
    message: `bind EADDRINUSE 127.0.0.1:${port}: address already in use`,
  });
  await refused(() => other.bind("192.0.2.1:0"), {
    code: "EADDRNOTAVAIL",
    syscall: "bind",
    address: "192.0.2.1",
    port: 0,
    message: "bind EADDRNOTAVAIL 192.0.2.1:0: address not available",
  });
  await refused(() => server.bind("127.0.0.1:0"), {
    code: "EINVAL",
    syscall: "bind",
    address: "127.0.0.1",
    port: 0,
    message: "bind EINVAL 127.0.0.1:0: invalid argument",
  });
  await refused(() => other.bind(new UnixAddress("/nonexistent/socket")), {
    code: "EAFNOSUPPORT",
    syscall: "bind",
    path: "/nonexistent/socket",
    message: "bind EAFNOSUPPORT /nonexistent/socket: address family not supported",
  });
});

test("an address of another family is refused by the kernel", async () => {
  await using four = new Socket(AF_INET, SOCK_STREAM);
  await refused(() => four.connect(new OpaqueAddress(31, new Uint8Array(14))), {
    code: "EAFNOSUPPORT",
    syscall: "connect",
    address: "family 31:0000000000000000000000000000",
    message: "connect EAFNOSUPPORT family 31:0000000000000000000000000000: address family not supported",
  });
});

test("errors of calls without an address have only the name of the call", async () => {
  await using stream = new Socket();
  await refused(() => stream.recv(1), {
    code: "ENOTCONN",
    syscall: "recv",
    message: "recv ENOTCONN: socket is not connected",
  });
  await refused(() => stream.accept(), {
    code: "EINVAL",
    syscall: "accept",
    message: "accept EINVAL: invalid argument",
  });
  await refused(() => stream.getpeername(), {
    code: "ENOTCONN",
    syscall: "getpeername",
    message: "getpeername ENOTCONN: socket is not connected",
  });
  await refused(() => stream.shutdown(0), {
    code: "ENOTCONN",
    syscall: "shutdown",
    message: "shutdown ENOTCONN: socket is not connected",
  });
  await refused(() => stream.getsockopt(1, 9999), {
    code: "ENOPROTOOPT",
    syscall: "getsockopt",
    message: "getsockopt ENOPROTOOPT option 9999 of level 1: protocol not available",
  });
  await refused(() => stream.setsockopt(1, 9999, 1), {
    code: "ENOPROTOOPT",
    syscall: "setsockopt",
    message: "setsockopt ENOPROTOOPT option 9999 of level 1: protocol not available",
  });
  await using messages = new Socket(AF_INET, SOCK_DGRAM);
  await refused(() => messages.listen(), {
    code: "EOPNOTSUPP",
    syscall: "listen",
    message: "listen EOPNOTSUPP: operation not supported on socket",
  });
  await messages.bind("127.0.0.1:0");
  await refused(() => messages.send("x"), {
    code: "EDESTADDRREQ",
    syscall: "send",
    message: `send EDESTADDRREQ ${String(messages.getsockname())}: destination address required`,
  });
  await refused(() => new Socket(AF_INET, SOCK_STREAM, 17), {
    code: "EPROTONOSUPPORT",
    syscall: "socket",
    message: "socket EPROTONOSUPPORT: protocol not supported",
  });
  await refused(() => new Socket(4711), {
    code: "EAFNOSUPPORT",
    syscall: "socket",
    message: "socket EAFNOSUPPORT: address family not supported",
  });
});

test("timeouts have the shape of the call that they end", async () => {
  await using server = await listening(families[2], 0);
  await using first = new Socket(AF_UNIX);
  await first.connect(server.getsockname());
  await using second = new Socket(AF_UNIX);
  const { path } = server.getsockname() as UnixAddress;
  await refused(() => second.connect(server.getsockname(), { timeout: 1 }), {
    code: "ETIMEDOUT",
    syscall: "connect",
    path,
    message: `connect ETIMEDOUT ${path}: the timeout has passed`,
  });
  await using idle = await listening();
  await refused(() => idle.accept({ timeout: 1 }), {
    code: "ETIMEDOUT",
    syscall: "accept",
    message: `accept ETIMEDOUT ${String(idle.getsockname())}: the timeout has passed`,
  });
});

test("too many open files is EMFILE, for new sockets, accepted ones and duplicates, and passes", async () => {
  // A limit for a process of its own; not too low a one, because Node opens the files of its modules all at once.
  const { Program } = await import("../support/program.js");
  await using program = new Program("sh", [
    "-c",
    `ulimit -n 1024 && exec "$0" --input-type=module --eval "$1"`,
    process.execPath,
    `
      import { Socket, socketpair } from "berkeley";
      const server = new Socket();
      await server.bind("127.0.0.1:0");
      server.listen();
      const waiting = [new Socket(), new Socket()];
      for (const client of waiting) await client.connect(server.getsockname());
      const open = [];
      const full = () => { try { for (;;) open.push(new Socket()); } catch (error) { return error.message; } };
      console.log(full());
      try { socketpair(); } catch (error) { console.log(error.message); }
      try { server.dup(); } catch (error) { console.log(error.message); }
      await server.accept().catch((error) => console.log(error.message));
      // The loop waits it out, and existing connections stay live meanwhile.
      const accepted = (async () => { for await (const [conn] of server) { console.log("accepted"); conn.close(); return; } })();
      // The call has failed with the error in the meantime.
      for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
      open.pop().close();
      await accepted;
      open.pop().close();
      (await server.accept())[0].close();
      console.log("done");
    `,
  ]);
  const { status, stdout, stderr } = await program.ended;
  assert.equal(status, 0, stderr);
  const calls = stdout.replaceAll(
    /( EMFILE)(?: 127\.0\.0\.1:\d+)?: too many open files; the process has .*RLIMIT_NOFILE.*/g,
    "$1",
  );
  assert.equal(calls, "socket EMFILE\nsocketpair EMFILE\ndup EMFILE\naccept EMFILE\naccepted\ndone\n");
});
