import { FrameError } from "berkeley";
import assert from "node:assert/strict";
import { test } from "node:test";
import { quote } from "#berkeley/check/index.js";

const table: readonly [unknown, string][] = [
  ["a b", '"a b"'],
  ['"\\\n\0', '"\\"\\\\\\n\\u0000"'],
  ["\u007f\u009b\u202e\u2028\ufeff", '"\\u007f\\u009b\\u202e\\u2028\\ufeff"'],
  ["\ud800", '"\\ud800"'],
  ["héllo", '"héllo"'],
  [1.5, "1.5"],
  [-0, "-0"],
  [NaN, "NaN"],
  [10n, "10n"],
  [true, "true"],
  [undefined, "undefined"],
  [null, "null"],
  [Symbol("s"), 'a symbol "s"'],
  [() => 1, "a function"],
  [["localhost", "80"], '["localhost", "80"]'],
  [Object.assign([], { 1: 3 }), "[undefined, 3]"],
  [[["a"], { b: 1 }], "[[…], {…}]"],
  [[1, 2, 3, 4, 5, 6], "[1, 2, 3, 4, 5, 6]"],
  [[1, 2, 3, 4, 5, 6, 7], "[1, 2, 3, 4, 5, 6, …]"],
  [{ host: "h", "a-b": 1 }, '{ host: "h", "a-b": 1 }'],
  [{}, "{}"],
  [new Uint8Array(3), "a Uint8Array(3)"],
  [Buffer.alloc(2), "a Buffer(2)"],
  [new Float64Array(2), "a Float64Array(2)"],
  [new DataView(new ArrayBuffer(5)), "a DataView(5)"],
  [new ArrayBuffer(4), "an ArrayBuffer(4)"],
  [new SharedArrayBuffer(8), "a SharedArrayBuffer(8)"],
  [new Map([[1, 2]]), "a Map(1)"],
  [new Set(), "a Set(0)"],
  [new Date(0), "a Date"],
  [new URL("http://user:secret@host/"), "a URL"],
  [Promise.resolve(), "a Promise"],
  [
    new (class Hidden {
      token = "x";
    })(),
    "a Hidden",
  ],
  [FrameError, "a class FrameError"],
  [function named() {}, "a function named"],
  [Object.assign(Object.create(null), { a: 1 }), "{ a: 1 }"],
  [new Proxy(new Map(), {}), "a Proxy"],
  [{ password: "hunter2", key: new Uint8Array(2) }, "{ password: a string of 7 characters, key: a view of 2 bytes }"],
  [{ inner: new ArrayBuffer(4) }, "{ inner: an ArrayBuffer(4) }"],
];

const withOwnGetter = <T extends object>(value: T, name: string): T =>
  Object.defineProperty(value, name, { get: () => assert.fail(`${name} was read`) });

test("quote() calls no getter that a collection has of its own", () => {
  assert.equal(quote(withOwnGetter(new Map([[1, 2]]), "size")), "a Map(1)");
  assert.equal(quote(withOwnGetter(new Set([1]), "size")), "a Set(1)");
  assert.equal(quote(withOwnGetter(new Uint16Array(3), "length")), "a Uint16Array(3)");
  assert.equal(quote(withOwnGetter(new ArrayBuffer(4), "byteLength")), "an ArrayBuffer(4)");
});

for (const [value, text] of table) {
  test(`quote() prints ${text}`, () => {
    assert.equal(quote(value), text);
  });
}

test("quote() cuts a long text and says how long it was", () => {
  assert.equal(quote("x".repeat(1000)), `"${"x".repeat(80)}"… (1000 characters)`);
  assert.equal(quote("x".repeat(80)), `"${"x".repeat(80)}"`);
  assert.equal(quote(10n ** 200n).length, 81);
});

test("quote() calls no getter and survives a hostile proxy", () => {
  const object = {
    get host(): string {
      throw new Error("called");
    },
  };
  assert.equal(quote(object), "{ host: (getter) }");
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  assert.equal(quote(proxy), "an object that cannot be read");
});
