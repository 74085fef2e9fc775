// SOCKS 5 proxies: the sent bytes, and the meaning of each reply.

import assert from "node:assert/strict";
import { test } from "node:test";
import { AF_INET, connect, type ConnectOptions, listen, type Resolver, SocketError, type Stream } from "berkeley";
import { until } from "../../support/clock.js";
import { checkLeaks } from "../../support/leaks.js";
import { rejection } from "../support.js";
import { bytes, expectBytes, FakeProxy, join } from "./fakeProxy.js";

checkLeaks();

const OK = [5, 0, 0, 1, 10, 0, 0, 1, 0x1f, 0x90];
const through = (proxy: FakeProxy): ConnectOptions => ({ via: `socks5://127.0.0.1:${proxy.port}` });
const fromOne = (low: number, high: number): number[] => Array.from({ length: high - low + 1 }, (_, i) => low + i);

/** The client's part of the handshake without authentication, up to its request. */
async function greet(client: Stream): Promise<void> {
  await expectBytes(client, 5, 1, 0);
  await client.write(bytes(5, 0));
}

test("connect() goes to a host through SOCKS 5, which is given the name as it is", async () => {
  await using listener = await listen("tcp://127.0.0.1:0");
  await using proxy = await FakeProxy.open(async (client) => {
    await greet(client);
    await expectBytes(client, 5, 1, 0, 3, 12, "some.example", 0x01, 0xbb);
    await client.write(bytes(...OK));
    await join(client, listener.address);
  });
  const asked: string[] = [];
  const resolver: Resolver = (host, family) => {
    asked.push(host);
    return Promise.resolve(family === AF_INET ? ["127.0.0.1"] : []);
  };
  const stream = await connect("tcp://some.example:443", { ...through(proxy), resolver });
  const server = await listener.accept();
  await stream.write("question\n");
  assert.equal(await server.readLine(), "question");
  await server.write("answer\n");
  assert.equal(await stream.readLine(), "answer");
  assert.equal(String(stream.remoteAddress), `127.0.0.1:${proxy.port}`);
  await Promise.all([stream.close(), server.close()]);
  assert.deepEqual(asked, [], "the proxy's address is a literal, and the name is the proxy's to resolve");
});

test("connect() resolves the name of a proxy and races its addresses", async () => {
  await using proxy = await FakeProxy.open(async (client) => {
    await greet(client);
    await expectBytes(client, 5, 1, 0, 1, 192, 0, 2, 7, 0, 80);
    await client.write(bytes(...OK));
  });
  const resolver: Resolver = (host, family) => {
    assert.equal(host, "proxy.example");
    return Promise.resolve(family === AF_INET ? ["127.0.0.2", "127.0.0.1"] : []);
  };
  const via = { protocol: "socks5", host: "proxy.example", port: proxy.port } as const;
  await using stream = await connect("tcp://192.0.2.7:80", { via, resolver });
  assert.equal(await stream.read(), null);
});

test("connect() gives addresses of both families to SOCKS 5 as addresses", async () => {
  await using proxy = await FakeProxy.open(async (client) => {
    await greet(client);
    await expectBytes(client, 5, 1, 0, 4, ...bytes("\x20\x01\x0d").values(), 0xb8, ...fromOne(1, 12), 0xff, 0xff);
    await client.write(bytes(...OK));
  });
  await using stream = await connect("tcp://[2001:db8:102:304:506:708:90a:b0c]:65535", through(proxy));
  assert.ok(stream);
});

test("connect() gives SOCKS 5 an international name in ASCII", async () => {
  await using proxy = await FakeProxy.open(async (client) => {
    await greet(client);
    await expectBytes(client, 5, 1, 0, 3, 21, "xn--bcher-kva.example", 0, 1);
    await client.write(bytes(...OK));
  });
  await using stream = await connect("tcp://bücher.example:1", through(proxy));
  assert.ok(stream);
});

test("connect() sends user name and password if SOCKS 5 requires them", async () => {
  await using proxy = await FakeProxy.open(async (client) => {
    await expectBytes(client, 5, 2, 0, 2);
    await client.write(bytes(5, 2));
    await expectBytes(client, 1, 5, "us er", 6, "p:@ß!");
    await client.write(bytes(1, 0));
    await expectBytes(client, 5, 1, 0, 1, 192, 0, 2, 1, 0, 1);
    await client.write(bytes(...OK));
  });
  for (const via of [
    `socks5://us%20er:p%3A%40%C3%9F!@127.0.0.1:${proxy.port}`,
    { protocol: "socks5", host: "127.0.0.1", port: proxy.port, username: "us er", password: "p:@ß!" } as const,
  ]) {
    await using stream = await connect("tcp://192.0.2.1:1", { via });
    assert.ok(stream);
  }
});

test("connect() offers user name and password, and does not send them if the proxy does not require them", async () => {
  await using proxy = await FakeProxy.open(async (client) => {
    await expectBytes(client, 5, 2, 0, 2);
    await client.write(bytes(5, 0));
    await expectBytes(client, 5, 1, 0, 1, 192, 0, 2, 1, 0, 1);
    await client.write(bytes(...OK));
  });
  await using stream = await connect("tcp://192.0.2.1:1", { via: `socks5://a:b@127.0.0.1:${proxy.port}` });
  assert.ok(stream);
});

test("connect() loses no byte that follows the answer of SOCKS 5, however it is cut", async () => {
  const answers = [
    [...OK, ..."first bytes".split("").map((letter) => letter.charCodeAt(0))],
    [5, 0, 0, 4, ...fromOne(1, 16), 0, 1, ...bytes("first bytes").values()],
    [5, 0, 0, 3, 4, ...bytes("host").values(), 0, 1, ...bytes("first bytes").values()],
    [5, 0, 0, 3, 0, 0, 1, ...bytes("first bytes").values()],
  ];
  for (const answer of answers) {
    for (const size of [1, 3, 1000]) {
      await using proxy = await FakeProxy.open(async (client) => {
        await greet(client);
        await client.readExactly(10);
        for (let at = 0; at < answer.length; at += size) {
          await client.write(Uint8Array.from(answer.slice(at, at + size)));
          await new Promise((resolve) => setImmediate(resolve));
        }
      });
      await using stream = await connect("tcp://192.0.2.1:1", through(proxy));
      assert.equal((await stream.readExactly(11)).toString(), "first bytes");
    }
  }
});

test("connect() has a code for each refusal of SOCKS 5", async () => {
  const codes: Record<number, string> = {
    1: "EIO",
    2: "EACCES",
    3: "ENETUNREACH",
    4: "EHOSTUNREACH",
    5: "ECONNREFUSED",
    6: "EHOSTUNREACH",
    7: "EOPNOTSUPP",
    8: "EAFNOSUPPORT",
    9: "EPROTO",
    255: "EPROTO",
  };
  for (const [reply, code] of Object.entries(codes)) {
    await using proxy = await FakeProxy.open(async (client) => {
      await greet(client);
      await client.readExactly(10);
      await client.write(bytes(5, Number(reply), 0, 1, 0, 0, 0, 0, 0, 0));
    });
    const error = await rejection(connect("tcp://192.0.2.1:80", through(proxy)));
    assert.ok(error.message.startsWith(`connect ${code} 192.0.2.1:80: `), error.message);
    assert.match(String(error.cause), new RegExp(`the proxy answered ${reply}`));
  }
});

test("connect() reports that SOCKS 5 requires another authentication, or refuses the password", async () => {
  const cases: [answers: number[][], reads: number[], via: string, cause: RegExp][] = [
    [[[5, 0xff]], [3], "", /it may require a user name and a password: set them in `via`/],
    [[[5, 0xff]], [4], "a:b@", /accepts no method/],
    [
      [
        [5, 2],
        [1, 1],
      ],
      [4, 5],
      "a:b@",
      /refused the user name and the password with status 1/,
    ],
  ];
  for (const [answers, reads, credentials, cause] of cases) {
    await using proxy = await FakeProxy.open(async (client) => {
      for (const [index, answer] of answers.entries()) {
        await client.readExactly(reads[index]!);
        await client.write(Uint8Array.from(answer));
      }
    });
    const via = `socks5://${credentials}127.0.0.1:${proxy.port}`;
    const error = await rejection(connect("tcp://some.example:80", { via }));
    assert.equal(error.message, "connect EACCES some.example:80: permission denied");
    assert.match(String(error.cause), cause);
    assert.doesNotMatch(`${error.message} ${String(error.cause)}`, /a:b/);
  }
});

test("connect() refuses bytes that are not a SOCKS 5 reply", async () => {
  const answers: [number[], string][] = [
    [[4, 0], "EPROTO"],
    [bytes("HTTP/1.1 400 Bad Request\r\n\r\n").toJSON().data, "EPROTO"],
    [[5, 1], "EPROTO"],
    [[5, 2], "EPROTO"],
    [[5, 0, 4, 0, 0, 1], "EPROTO"],
    [[5, 0, 5, 0, 0, 2], "EPROTO"],
    [[5], "ECONNRESET"],
    [[5, 0], "ECONNRESET"],
    [[5, 0, 5, 0, 0, 1, 127], "ECONNRESET"],
    [[5, 0, 5, 0, 0, 3, 200, 65], "ECONNRESET"],
  ];
  for (const [answer, code] of answers) {
    await using proxy = await FakeProxy.open(async (client) => {
      await client.readExactly(3);
      await client.write(Uint8Array.from(answer));
      await client.closeWrite();
      // Until the other side has closed too.
      await client
        .read(64, { timeout: 5000 })
        .then(
          () => client.read(64),
          () => undefined,
        )
        .catch(() => undefined);
    });
    const error = await rejection(connect("tcp://192.0.2.1:80", through(proxy)));
    assert.equal(error.code, code, String(answer));
  }
});

test("one timeout and one signal of connect() cover the proxy and the destination", async () => {
  let clients = 0;
  const silent = async (client: Stream): Promise<void> => {
    clients++;
    await client.readUntil("never").catch(() => undefined);
  };
  await using proxy = await FakeProxy.open(silent);
  const late = await rejection(connect("tcp://some.example:80", { ...through(proxy), timeout: 30 }));
  assert.equal(late.message, "connect ETIMEDOUT some.example:80: the timeout has passed");
  const control = new AbortController();
  const reason = new SocketError("ECANCELED", -125, "enough");
  const cut = rejection(connect("tcp://some.example:80", { ...through(proxy), signal: control.signal }));
  await until(() => clients === 2);
  control.abort(reason);
  assert.equal(await cut, reason);
});

test("connect() says that the proxy cannot be reached", async () => {
  const gone = await listen("tcp://127.0.0.1:0");
  const address = String(gone.address);
  await gone.close();
  const error = await rejection(connect("tcp://some.example:80", { via: `socks5://${address}` }));
  assert.equal(error.message, `connect ECONNREFUSED ${address}: connection refused`);
  assert.equal(error.cause, undefined);
});

test("connect() refuses a proxy that is wrong, and shows no password", async () => {
  const wrong: unknown[] = [
    "socks5://127.0.0.1",
    "socks4://127.0.0.1:1",
    "socks5://user:secret@",
    "user:secret@127.0.0.1:1",
    "socks5+unix://user:secret@/run/p.sock",
    "http+unix:user:secret@/run/p.sock",
    "http://user:secret%40127.0.0.1:1",
    "socks5://user:secret",
    { protocol: "http", host: "127.0.0.1", port: 1, headers: "Proxy-Authorization: secret" },
    { protocol: "http", host: "127.0.0.1", port: 1, headers: ["Proxy-Authorization: secret"] },
    "ftp://user:secret@127.0.0.1:1",
    "http:/user:sec@ret:secret@127.0.0.1:1",
    "socks5://user:secret@127.0.0.1:port",
    "socks5://user:sec%ret@127.0.0.1:1",
    "socks5://user:secret@127.0.0.1:1/path",
    "socks5://0x7f.1:1",
    "socks5://user:secret@unix:/x",
    `socks5://${"u".repeat(256)}:secret@127.0.0.1:1`,
    "socks5://:secret@127.0.0.1:1",
    "http://user:se\ncret@127.0.0.1:1",
    { protocol: "socks5", host: "127.0.0.1", port: 1, username: 5 },
    { protocol: "socks", host: "127.0.0.1", port: 1 },
    { protocol: "socks5", host: "127.0.0.1" },
    { protocol: "http", host: "127.0.0.1", port: 1, username: "us:er", password: "secret" },
    { protocol: "http", host: "127.0.0.1", port: 1, maxHeader: 0 },
    { protocol: "http", host: "127.0.0.1", port: 1, user: "secret" },
    null,
  ];
  for (const via of wrong) {
    const error = await rejection(connect("tcp://some.example:80", { via: via as string }));
    assert.ok(error instanceof TypeError || error instanceof RangeError, `${String(via)}: ${String(error)}`);
    assert.doesNotMatch(error.message, /secret/);
  }
});

test("connect() refuses destinations that mean nothing to a proxy", async () => {
  for (const via of ["socks5://127.0.0.1:1", "http://127.0.0.1:1"]) {
    assert.equal((await rejection(connect("tcp://[fe80::1%lo]:80", { via }))).name, "TypeError");
    assert.equal((await rejection(connect({ host: "some.example", port: 80, scopeid: 3 }, { via }))).name, "TypeError");
    assert.equal((await rejection(connect("unix:@x", { via }))).name, "TypeError");
  }
});
