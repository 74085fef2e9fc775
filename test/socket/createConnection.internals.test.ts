// create_connection(): one address of a host after the other.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import {
  AF_INET,
  create_connection,
  create_server,
  has_ipv6,
  InetAddress,
  IPPROTO_MPTCP,
  setdefaulttimeout,
  SOCK_STREAM,
  Socket,
  type SocketError,
  UnixAddress,
} from "berkeley";
import { type AddrinfoEntry, calls } from "#berkeley/sys/calls.js";
import { EINPROGRESS } from "#berkeley/sys/errno.js";
import { encodeAddress } from "#berkeley/sys/sockaddr.js";
import { checkLeaks } from "../support/leaks.js";
import { errnoOfSocket } from "./families/kernel.js";

checkLeaks();

const real = { ...calls };
afterEach(() => {
  Object.assign(calls, real);
  setdefaulttimeout(null);
});

/** Makes the resolver answer with these hosts. */
function answerWith(...hosts: string[]): void {
  calls.getaddrinfo = (_host, _service, _family, type, _protocol, _flags, callback) => {
    const entries = hosts.map((host): AddrinfoEntry => [
      AF_INET,
      type,
      6,
      encodeAddress(new InetAddress(host, 0)),
      null,
    ]);
    setImmediate(callback, 0, 0, entries);
    return 0;
  };
}

function portOf(socket: Socket): number {
  return (socket.getsockname() as InetAddress).port;
}

test("create_connection() takes the first address that answers", async () => {
  await using server = await create_server("127.0.0.3:0");
  answerWith("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4");
  // A waiting connect() queries its result later. Each address counts once.
  const tried = new Set<string>();
  calls.connect = (fd, address) => {
    tried.add([...address.subarray(4, 8)].join("."));
    return real.connect(fd, address);
  };
  await using socket = await create_connection(["several.example", portOf(server)]);
  assert.equal(String(socket.getpeername()), String(server.getsockname()));
  assert.deepEqual([...tried], ["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
  assert.equal(socket.type, SOCK_STREAM);
});

test("create_connection() rejects with the error of the last address, and closes its sockets", async () => {
  await using server = await create_server("127.0.0.1:0");
  const port = portOf(server);
  server.close();
  answerWith("127.0.0.1", "127.0.0.2");
  const last = {
    name: "SocketError",
    code: "ECONNREFUSED",
    message: `connect ECONNREFUSED 127.0.0.2:${port}: connection refused`,
  };
  await assert.rejects(create_connection(["several.example", port]), last);
  const all: unknown = await create_connection(["several.example", port], { allErrors: true }).catch(
    (error: unknown) => error,
  );
  assert.ok(all instanceof AggregateError);
  assert.equal(all.message, `Cannot create_connection to several.example:${port}: all 2 attempts failed`);
  assert.deepEqual(
    all.errors.map((error: SocketError) => `${error.code} ${error.address}`),
    ["ECONNREFUSED 127.0.0.1", "ECONNREFUSED 127.0.0.2"],
  );
});

test("create_connection() goes on to the next address when a socket can't be made or bound", async () => {
  await using server = await create_server("127.0.0.2:0");
  answerWith("127.0.0.1", "127.0.0.2");
  let made = 0;
  calls.socket = (family, type, protocol) => (++made === 1 ? -97 : real.socket(family, type, protocol));
  await using socket = await create_connection(["several.example", portOf(server)]);
  assert.equal(String(socket.getpeername()), String(server.getsockname()));
  await assert.rejects(create_connection(["several.example", 1], { sourceAddress: ["192.0.2.77", 0] }), {
    code: "EADDRNOTAVAIL",
    syscall: "bind",
  });
});

test("create_connection() comes from sourceAddress", async () => {
  await using server = await create_server("127.0.0.1:0");
  await using socket = await create_connection(server.getsockname(), { sourceAddress: ["127.0.0.9", 0] });
  assert.match(String(socket.getsockname()), /^127\.0\.0\.9:/);
});

test("create_connection() gives the socket its timeout, or the default one", async () => {
  await using server = await create_server("127.0.0.1:0");
  const address = server.getsockname();
  setdefaulttimeout(4000);
  await using one = await create_connection(address);
  await using two = await create_connection(address, { timeout: 3000 });
  await using three = await create_connection(address, { timeout: null });
  assert.deepEqual([one.timeout, two.timeout, three.timeout], [4000, 3000, null]);
});

test("create_connection() ends with the timeout or the signal while the resolver is silent", async () => {
  calls.getaddrinfo = () => 0;
  await assert.rejects(create_connection("silent.example:80", { timeout: 1 }), {
    code: "ETIMEDOUT",
    syscall: "getaddrinfo",
  });
  const controller = new AbortController();
  const pending = create_connection("silent.example:80", { signal: controller.signal });
  controller.abort(new Error("enough"));
  await assert.rejects(pending, { message: "enough" });
  await assert.rejects(create_connection("127.0.0.1:1", { signal: controller.signal }), { message: "enough" });
});

test("create_connection() tries no other address once the signal has come", async () => {
  answerWith("127.0.0.1", "127.0.0.2");
  const controller = new AbortController();
  let made = 0;
  calls.socket = (family, type, protocol) => {
    made++;
    return real.socket(family, type, protocol);
  };
  calls.connect = () => {
    setImmediate(() => controller.abort(new Error("enough")));
    return EINPROGRESS;
  };
  await assert.rejects(create_connection("several.example:80", { signal: controller.signal }), { message: "enough" });
  assert.equal(made, 1);
});

test("create_connection() connects to addresses of any family", async () => {
  const name = new UnixAddress(`\0create_connection-${process.pid}`);
  await using server = await create_server(name);
  await using socket = await create_connection(server.getsockname());
  assert.equal(String(socket.getpeername()), String(name));
  if (!has_ipv6) return;
  await using server6 = await create_server("[::1]:0");
  await using socket6 = await create_connection(server6.getsockname());
  assert.equal(String(socket6.getpeername()), String(server6.getsockname()));
});

test("create_connection() refuses wrong arguments with a rejection", async () => {
  calls.socket = () => assert.fail("it made a socket");
  await assert.rejects(create_connection("127.1:80"), TypeError);
  await assert.rejects(create_connection(["127.0.0.1", 65536]), RangeError);
  await assert.rejects(create_connection("127.0.0.1:80", 5 as never), { message: /options are 5/ });
  await assert.rejects(create_connection("127.0.0.1:80", { timeout: -1 }), RangeError);
  await assert.rejects(create_connection("127.0.0.1:80", { sourceAddress: "x" }), TypeError);
  await assert.rejects(create_connection("127.0.0.1:80", { allErrors: 1 as never }), {
    message: /allErrors is 1, required true or false$/,
  });
  await assert.rejects(create_connection(["", 80]), {
    code: "EAI_NONAME",
    message: "getaddrinfo EAI_NONAME: name or service not known",
  });
});

test("connect() resolves names for sockets whose protocol the resolver does not support", async (t) => {
  const lacks = errnoOfSocket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
  if (lacks !== undefined) return t.skip(`the kernel has no MPTCP: ${lacks}`);
  const socket = new Socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
  await using server = await create_server("127.0.0.1:0");
  await socket.connect(["localhost", portOf(server)]);
  assert.equal(String(socket.getpeername()), String(server.getsockname()));
  socket.close();
});
