// The main entry loads the code of forward() and of proxies with the first call that needs it.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { connect, forward, type ForwardOptions, listen, type ProxyHeaderToSend } from "berkeley";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

/** The code of the files that an import of `first` loads. */
function loadedCode(first: string): string {
  const waiting = [first];
  const seen = new Set(waiting);
  let code = "";
  for (let url = waiting.pop(); url !== undefined; url = waiting.pop()) {
    const text = readFileSync(new URL(url), "utf8");
    code += text;
    for (const [, path] of text.matchAll(/(?:\bfrom\s*|^import\s*)["'](\.[^"']+)["']/gm)) {
      const next = new URL(path!, url).href;
      if (!seen.has(next)) waiting.push(next);
      seen.add(next);
    }
  }
  return code;
}

const defines = (code: string, name: string): boolean =>
  new RegExp(`class ${name}\\b|\\b${name}\\s*=\\s*class`).test(code);

test('import "berkeley" loads Forwarder, and neither the server of forward() nor the code for proxies', () => {
  const code = loadedCode(import.meta.resolve("berkeley"));
  for (const name of ["Forwarder", "SocketListener"]) assert.ok(defines(code, name), name);
  for (const name of ["ForwardServer", "AcceptLoop", "ProxyRefusal"]) assert.ok(!defines(code, name), name);
  assert.doesNotMatch(code, /function encodeProxyHeader\b/);
});

test("forward() uses the options that the object had at the call", async () => {
  await using target = await listen("tcp://127.0.0.1:0");
  const opts: { -readonly [Name in keyof ForwardOptions]: ForwardOptions[Name] } = { maxConnections: 5 };
  const forwarding = forward("tcp://127.0.0.1:0", target.address, opts);
  opts.maxConnections = -1;
  await using forwarder = await forwarding;
  assert.equal(forwarder.stats().connections, 0);
});

test("connect() uses the proxy and the header that the object had at the call", async () => {
  await using listener = await listen("tcp://127.0.0.1:0");
  const opts: { proxyProtocol?: ProxyHeaderToSend } = { proxyProtocol: { version: 1 } };
  const connecting = connect(listener.address, opts);
  opts.proxyProtocol = { version: 2 };
  await using stream = await connecting;
  await using peer = await listener.accept();
  await stream.write("after the header\n");
  assert.deepEqual([await peer.readLine(), await peer.readLine()], ["PROXY UNKNOWN", "after the header"]);

  const refused: { via: string } = { via: "gopher://127.0.0.1:1" };
  const refusing = connect(listener.address, refused);
  refused.via = "socks5://127.0.0.1:1";
  await assert.rejects(refusing, { name: "TypeError", message: /via is "gopher:/ });
});
