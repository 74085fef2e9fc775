// The answers for visitors.
import assert from "node:assert/strict";
import { test } from "node:test";
import { MAX_REQUEST, httpResponse, tooLargeResponse, classify, welcomeText } from "#berkeley/cli/steps/answer.js";
import { quoteBytes } from "#berkeley/cli/frame/escape.js";

const classified = (text: string): object => classify(Buffer.from(text));

test("classify() recognizes a request by its first line and its end", () => {
  assert.deepEqual(classified("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), { kind: "request", method: "GET" });
  assert.deepEqual(classified("HEAD /a?b HTTP/1.0\n\n"), { kind: "request", method: "HEAD" });
  assert.deepEqual(classified("POST / HTTP/1.1\r\n\r\nbody"), { kind: "request", method: "POST" });
  assert.deepEqual(classified("GET / HTTP/1.1\r\nHost: x\r\n\r"), { kind: "beginning", hasLine: true });
  assert.deepEqual(classified("GET / HTTP/1.1\r"), { kind: "beginning", hasLine: false });
});

test("classify() takes everything else for text", () => {
  for (const text of [
    "",
    "Hello, Server",
    "GET",
    "get / HTTP/1.1\r\n\r\n",
    "GET /\r\n\r\n",
    "GET  / HTTP/1.1\n\n",
    "GET / HTTP/2\n\n",
  ]) {
    assert.deepEqual(classified(text), { kind: "text" }, JSON.stringify(text));
  }
});

test("welcomeText() ends its line for clients that end their lines", () => {
  assert.equal(welcomeText(Buffer.from("a")), "Welcome to my server");
  assert.equal(welcomeText(Buffer.from("a\n")), "Welcome to my server\n");
  assert.equal(welcomeText(Buffer.alloc(0)), "Welcome to my server");
});

test("httpResponse() and tooLargeResponse() are whole responses whose length is right", () => {
  for (const text of [httpResponse("GET", "é"), httpResponse("PUT", ""), tooLargeResponse()]) {
    const [head = "", body = ""] = text.split("\r\n\r\n", 2);
    assert.match(head, /^HTTP\/1\.1 \d{3} [ \w]+\r\n/);
    assert.equal(Number(/\r\nContent-Length: (\d+)/.exec(head)?.[1]), Buffer.byteLength(body));
    assert.match(head, /\r\nConnection: close/);
    assert.ok(!Number.isNaN(Date.parse(/\r\nDate: (.*)\r\n/.exec(head)?.[1] ?? "")));
  }
  const [head, body] = httpResponse("HEAD", "é").split("\r\n\r\n");
  assert.equal(body, "");
  const length = (text: string): string | undefined => /Content-Length: \d+/.exec(text)?.[0];
  assert.equal(length(head!), length(httpResponse("GET", "é")));
  assert.ok(tooLargeResponse().includes(String(MAX_REQUEST)));
});

test("quoteBytes() shortens long text and escapes control characters", () => {
  assert.equal(quoteBytes(Buffer.from("Hello"), 5), '"Hello"');
  assert.equal(quoteBytes(Buffer.from("Hello!"), 5), '"Hello"...');
  assert.equal(quoteBytes(Buffer.from('a"\u001b\u007f\u2028'), 100), '"a\\"\\u001b\\u{7f}\\u{2028}"');
});
