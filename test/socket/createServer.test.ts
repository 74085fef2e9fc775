// create_server(): a listening socket in one call.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  create_connection,
  create_server,
  has_dualstack_ipv6,
  has_ipv6,
  type Inet6Address,
  type InetAddress,
  IPV6_V6ONLY,
  SO_ACCEPTCONN,
  SO_REUSEADDR,
  SO_REUSEPORT,
} from "berkeley";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

const withoutIPv6 = has_ipv6 ? undefined : "there is no IPv6";
const withoutDual = has_dualstack_ipv6() ? undefined : "there is no dual stack";

test("create_server() listens at the wildcard address of IPv4, with SO_REUSEADDR", async () => {
  await using server = await create_server(["", 0]);
  assert.equal(server.family, AF_INET);
  assert.match(String(server.getsockname()), /^0\.0\.0\.0:[1-9]/);
  assert.equal(server.getsockopt(SO_ACCEPTCONN), true);
  assert.equal(server.getsockopt(SO_REUSEADDR), true);
  assert.equal(server.getsockopt(SO_REUSEPORT), false);
});

test("create_server() takes the family of the address", { skip: withoutIPv6 }, async () => {
  await using inet6 = await create_server("[::1]:0");
  assert.equal(inet6.family, AF_INET6);
  assert.equal(inet6.getsockopt(IPV6_V6ONLY), true);
  await using zoned = await create_server("[::1%lo]:0");
  assert.equal(zoned.family, AF_INET6);
  await using path = await create_server(`unix:@create_server-${process.pid}`);
  assert.equal(path.family, AF_UNIX);
  await using named = await create_server(["localhost", 0]);
  assert.equal(named.family, AF_INET);
});

test("create_server() with dualstackIpv6 takes connections of both families", { skip: withoutDual }, async () => {
  for (const opts of [{ dualstackIpv6: true }, { dualstackIpv6: true, family: AF_INET6 }]) {
    await using server = await create_server(["", 0], opts);
    assert.equal(server.getsockopt(IPV6_V6ONLY), false);
    const { port } = server.getsockname() as Inet6Address;
    for (const [host, seen] of [
      ["127.0.0.1", "::ffff:127.0.0.1"],
      ["::1", "::1"],
    ] as const) {
      await using client = await create_connection([host, port]);
      const [conn, address] = await server.accept();
      assert.equal((address as Inet6Address).host, seen);
      assert.equal((address as Inet6Address).port, (client.getsockname() as InetAddress).port);
      conn.close();
    }
  }
});

test("create_server() without dualstackIpv6 leaves IPv4 to others", { skip: withoutDual }, async () => {
  await using inet6 = await create_server(["", 0], { family: AF_INET6 });
  const { port } = inet6.getsockname() as Inet6Address;
  await assert.rejects(create_connection(["127.0.0.1", port]), { code: "ECONNREFUSED" });
  await using inet = await create_server(["", port]);
  assert.equal((inet.getsockname() as InetAddress).port, port);
});

test("create_server() shares a port with reusePort only", async () => {
  await using first = await create_server("127.0.0.1:0", { reusePort: true });
  await using second = await create_server(first.getsockname(), { reusePort: true });
  assert.equal(String(second.getsockname()), String(first.getsockname()));
  await assert.rejects(create_server(first.getsockname()), { code: "EADDRINUSE", syscall: "bind" });
});

test("create_server() passes the backlog on", async () => {
  await using server = await create_server("127.0.0.1:0", { backlog: 0 });
  assert.equal(server.getsockopt(SO_ACCEPTCONN), true);
  await assert.rejects(create_server("127.0.0.1:0", { backlog: 1.5 }), RangeError);
});

test("create_server() refuses wrong arguments with a rejection, and leaves nothing open", async () => {
  const wrong = (opts: object, message: RegExp): Promise<void> =>
    assert.rejects(create_server(["", 0], opts), { name: "TypeError", message });
  await wrong({ family: AF_INET, dualstackIpv6: true }, /family is 2, required AF_INET6 with dualstackIpv6$/);
  await wrong({ reusePort: 1 }, /reusePort is 1, required true or false$/);
  await wrong({ dualstackIpv6: "yes" }, /dualstackIpv6 is "yes", required true or false$/);
  await wrong({ family: "inet" }, /family is "inet"/);
  await assert.rejects(create_server("127.0.0.1"), TypeError);
  await assert.rejects(create_server(["", 0], 5 as never), TypeError);
  await assert.rejects(create_server("192.0.2.77:0"), { code: "EADDRNOTAVAIL" });
  await assert.rejects(create_server("[::1]:0", { family: AF_INET }), { name: "SocketError" });
  await assert.rejects(create_server(["localhost", 0], { signal: AbortSignal.abort(new Error("enough")) }), {
    message: "enough",
  });
});
