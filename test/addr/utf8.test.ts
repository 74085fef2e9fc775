import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { nameBytes, nameText, utf8Length } from "#berkeley/addr/utf8.js";
import { testSeeds } from "../support/random.js";

test("utf8Length() counts what Buffer counts for every code point", () => {
  for (let code = 0; code <= 0x10ffff; code++) {
    if (code >= 0xd800 && code <= 0xdfff) continue;
    const text = String.fromCodePoint(code);
    if (utf8Length(text) !== Buffer.byteLength(text)) assert.fail(`U+${code.toString(16)}: ${utf8Length(text)}`);
  }
});

test("utf8Length() is -1 for every lone surrogate, at any position", () => {
  for (let code = 0xd800; code <= 0xdfff; code++) {
    const unit = String.fromCharCode(code);
    const other = code < 0xdc00 ? "\ue000" : "\ud7ff";
    for (const text of [unit, `a${unit}`, `${unit}a`, unit + unit, unit + other, other + unit, `${unit}😀`]) {
      if (utf8Length(text) !== -1) assert.fail(`${JSON.stringify(text)}: ${utf8Length(text)}`);
    }
  }
});

testSeeds("utf8Length() agrees with an encoder on random units", [8], (random) => {
  const edges = [0, 0x7f, 0x80, 0x7ff, 0x800, 0xd7ff, 0xd800, 0xdbff, 0xdc00, 0xdfff, 0xe000, 0xffff];
  const encoder = new TextEncoder();
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  for (let i = 0; i < 20_000; i++) {
    const text = String.fromCharCode(...Array.from({ length: random(5) }, () => edges[random(edges.length)]!));
    const bytes = encoder.encode(text);
    assert.equal(utf8Length(text), decoder.decode(bytes) === text ? bytes.length : -1, JSON.stringify(text));
  }
});

testSeeds("nameText() and nameBytes() turn any bytes into a string and back, text into itself", [10], (random) => {
  const edges = [0x00, 0x2f, 0x41, 0x5c, 0x7f, 0x80, 0x8f, 0x90, 0xa0, 0xbf, 0xc0, 0xc2, 0xc3, 0xdf, 0xe0, 0xe2, 0xed];
  edges.push(0xef, 0xf0, 0xf4, 0xf5, 0xff, 0xbd, 0x82, 0xac, 0x9f, 0x98);
  const seen = new Map<string, string>();
  for (let i = 0; i < 40_000; i++) {
    const bytes = Buffer.from(Array.from({ length: random(7) }, () => edges[random(edges.length)]!));
    const text = nameText(bytes);
    const back = nameBytes(text);
    assert.deepEqual(back === undefined ? back : Buffer.from(back), bytes, bytes.toString("hex"));
    assert.equal(seen.get(text) ?? bytes.toString("hex"), bytes.toString("hex"), "two names, one string");
    seen.set(text, bytes.toString("hex"));
    if (utf8Length(text) >= 0) assert.equal(text, new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes));
  }
  for (const text of ["", "/run/a.sock", "é😀", "\ufffd", "\ufeffx", "\ufffd\udcff", "😀\udc80"]) {
    assert.equal(nameText(nameBytes(text)!), text);
  }
});

testSeeds("nameText() gives the strings that Python gives", [11], (random) => {
  const names = Array.from({ length: 500 }, () =>
    Buffer.from(Array.from({ length: 1 + random(8) }, () => (random(3) === 0 ? random(128) : 128 + random(128)))),
  );
  const script =
    "import os, sys\nfor name in sys.argv[1:]: " +
    'print(bytes.fromhex(name).decode("utf-8", "surrogateescape").encode("utf-16-le", "surrogatepass").hex())';
  const words = names.map((name) => name.toString("hex"));
  const { stdout, status, stderr } = spawnSync("python3", ["-c", script, ...words], { encoding: "utf8" });
  assert.equal(status, 0, stderr);
  const theirs = stdout.trim().split("\n");
  for (const [index, name] of names.entries()) {
    assert.equal(Buffer.from(nameText(name), "utf16le").toString("hex"), theirs[index], words[index]);
  }
});

test("nameBytes() refuses a lone surrogate that represents no byte", () => {
  for (const text of ["\ud800", "\udc00", "\udc7f", "\udd00", "\ud83d", "a\udcff\ud800"]) {
    assert.equal(nameBytes(text), undefined);
  }
});
