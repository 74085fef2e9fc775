import assert from "node:assert/strict";
import { test } from "node:test";
import { utf8Length } from "#berkeley/addr/utf8.js";
import { seeded } from "./support.js";

test("utf8Length() counts what Buffer counts for every code point", () => {
  for (let code = 0; code <= 0x10ffff; code++) {
    if (code >= 0xd800 && code <= 0xdfff) continue;
    const text = String.fromCodePoint(code);
    if (utf8Length(text) !== Buffer.byteLength(text)) assert.fail(`U+${code.toString(16)}: ${utf8Length(text)}`);
  }
});

test("utf8Length() is -1 for every lone surrogate, wherever it stands", () => {
  for (let code = 0xd800; code <= 0xdfff; code++) {
    const unit = String.fromCharCode(code);
    const other = code < 0xdc00 ? "\ue000" : "\ud7ff";
    for (const text of [unit, `a${unit}`, `${unit}a`, unit + unit, unit + other, other + unit, `${unit}😀`]) {
      if (utf8Length(text) !== -1) assert.fail(`${JSON.stringify(text)}: ${utf8Length(text)}`);
    }
  }
});

test("utf8Length() agrees with an encoder on random units", () => {
  const random = seeded(8);
  const edges = [0, 0x7f, 0x80, 0x7ff, 0x800, 0xd7ff, 0xd800, 0xdbff, 0xdc00, 0xdfff, 0xe000, 0xffff];
  const encoder = new TextEncoder();
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  for (let i = 0; i < 20_000; i++) {
    const text = String.fromCharCode(...Array.from({ length: random(5) }, () => edges[random(edges.length)]!));
    const bytes = encoder.encode(text);
    assert.equal(utf8Length(text), decoder.decode(bytes) === text ? bytes.length : -1, JSON.stringify(text));
  }
});
