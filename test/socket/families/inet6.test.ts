// IPv6: flow information, scopes, and one socket for both versions.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AF_INET,
  AF_INET6,
  Inet6Address,
  InetAddress,
  IPV6_FLOWINFO,
  IPV6_FLOWINFO_SEND,
  IPV6_FLOWLABEL_MGR,
  IPV6_FL_A_GET,
  IPV6_FL_F_CREATE,
  IPV6_FL_S_EXCL,
  IPV6_V6ONLY,
  SOCK_DGRAM,
  SOCK_STREAM,
  Socket,
} from "berkeley";
import { only } from "../messages/support.js";
import { checkLeaks } from "../../support/leaks.js";
import { errnoOf } from "./kernel.js";

checkLeaks();

const lo = 1;

test("a dual-stack listener takes connections of both versions", async () => {
  await using server = new Socket(AF_INET6, SOCK_STREAM);
  server.setsockopt(IPV6_V6ONLY, false);
  await server.bind(["", 0]);
  server.listen(2);
  const { host, port } = server.getsockname();
  assert.equal(host, "::");
  await using four = new Socket(AF_INET, SOCK_STREAM);
  await four.connect(["127.0.0.1", port]);
  const [first, mapped] = await server.accept();
  assert.equal(mapped.host, "::ffff:127.0.0.1");
  assert.deepEqual(four.getpeername(), new InetAddress("127.0.0.1", port));
  first.close();
  await using six = new Socket(AF_INET6, SOCK_STREAM);
  await six.connect(["::1", port]);
  const [second, peer] = await server.accept();
  assert.equal(peer.host, "::1");
  second.close();
  await using byMapped = new Socket(AF_INET6, SOCK_STREAM);
  await byMapped.connect(["::ffff:127.0.0.1", port]);
  (await server.accept())[0].close();
});

test("IPV6_V6ONLY keeps IPv4 out, and leaves its port to others", async () => {
  await using server = new Socket(AF_INET6, SOCK_STREAM);
  server.setsockopt(IPV6_V6ONLY, true);
  await server.bind(["::", 0]);
  server.listen(1);
  const { port } = server.getsockname();
  await using four = new Socket(AF_INET, SOCK_STREAM);
  await assert.rejects(four.connect(["127.0.0.1", port]), { code: "ECONNREFUSED" });
  await using other = new Socket(AF_INET, SOCK_STREAM);
  await other.bind(["0.0.0.0", port]);
  await using six = new Socket(AF_INET6, SOCK_DGRAM);
  six.setsockopt(IPV6_V6ONLY, true);
  await assert.rejects(six.connect(["::ffff:127.0.0.1", port]), { code: "ENETUNREACH" });
});

test("an address carries flow information", async () => {
  const label = 0x1_2345;
  await using receiver = new Socket(AF_INET6, SOCK_DGRAM);
  await receiver.bind(["::1", 0]);
  receiver.setsockopt(IPV6_FLOWINFO, true);
  const { port } = receiver.getsockname();
  await using sender = new Socket(AF_INET6, SOCK_DGRAM);
  sender.setsockopt(IPV6_FLOWLABEL_MGR, {
    action: IPV6_FL_A_GET,
    label,
    destination: "::1",
    share: IPV6_FL_S_EXCL,
    flags: IPV6_FL_F_CREATE,
  });
  sender.setsockopt(IPV6_FLOWINFO_SEND, true);
  const flowinfo = label;
  await sender.sendto("flows", ["::1", port, flowinfo, 0]);
  const message = await receiver.recvmsg(100);
  assert.equal(only(message.control, "IPV6_FLOWINFO").flowinfo, flowinfo);
  await sender.connect(new Inet6Address("::1", port, flowinfo));
  assert.equal(sender.getpeername().flowinfo & 0xf_ffff, label);
});

test("a scope is an index or the name of an interface, and comes back as an index", async () => {
  const expected = (scope: number): string | undefined =>
    errnoOf(`socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).bind(("fe80::dead:beef", 0, 0, ${scope}))`);
  for (const [address, scope] of [
    [["fe80::dead:beef", 0, 0, lo], lo],
    ["[fe80::dead:beef%lo]:0", lo],
    [["fe80::dead:beef", 0], 0],
  ] as const) {
    await using socket = new Socket(AF_INET6, SOCK_DGRAM);
    const code = expected(scope);
    assert.ok(code !== undefined);
    const shown = scope === 0 ? "fe80::dead:beef" : `fe80::dead:beef%${scope}`;
    await assert.rejects(socket.bind(address), { code, address: shown });
  }
  await using socket = new Socket(AF_INET6, SOCK_DGRAM);
  await assert.rejects(socket.bind("[fe80::1%no-such-if]:0"), { code: "ENODEV", syscall: "if_nametoindex" });
  // A multicast address of the interface's own scope can be had everywhere.
  await socket.bind(new Inet6Address("ff01::1", 0, 0, lo));
  const { host, scopeid, port } = socket.getsockname();
  assert.deepEqual([host, scopeid], ["ff01::1", lo]);
  assert.equal(String(socket.getsockname()), `[ff01::1%${lo}]:${port}`);
});
