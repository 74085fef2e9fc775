import assert from "node:assert/strict";
import { isIPv4 as nodeIsIPv4 } from "node:net";
import { test } from "node:test";
import { formatIPv4, isIPv4, parseIPv4, readIPv4 } from "#berkeley/addr/ipv4Text.js";
import { testSeeds } from "../support/random.js";
import { hex, mutate, python } from "./support.js";

const good: readonly [string, number[]][] = [
  ["0.0.0.0", [0, 0, 0, 0]],
  ["127.0.0.1", [127, 0, 0, 1]],
  ["255.255.255.255", [255, 255, 255, 255]],
  ["1.20.203.9", [1, 20, 203, 9]],
];

const bad: readonly string[] = [
  "",
  ".",
  "...",
  "....",
  "1",
  "1.2",
  "1.2.3",
  "127.1",
  "1.2.3.4.5",
  "1.2.3.4.",
  ".1.2.3.4",
  "1..2.3",
  "1.2..3",
  "1.2.3.",
  "256.1.1.1",
  "1.256.1.1",
  "1.1.1.256",
  "1.1.1.999",
  "1.1.1.1000",
  "0177.0.0.1",
  "00.0.0.0",
  "01.2.3.4",
  "1.2.3.04",
  "1.2.3.00",
  "0x7f.0.0.1",
  "0x7f.1",
  "2130706433",
  "1.2.3.4 ",
  " 1.2.3.4",
  "1.2.3.4\0",
  "1.2.3.4\n",
  "+1.2.3.4",
  "-1.2.3.4",
  "1,2,3,4",
  "1.2.3.a",
  "1.2.3.٤",
  "1.2.3.４",
  "1.2.3.1e1",
  "a.b.c.d",
  "::1",
  "1.2.3.4/8",
  "1.2.3.4:80",
  "[1.2.3.4]",
  "1.2.3.4%eth0",
  "000000000000001.2.3.4",
];

for (const [text, bytes] of good) {
  test(`parseIPv4() reads and formatIPv4() prints ${text}`, () => {
    assert.deepEqual(parseIPv4(text), Uint8Array.from(bytes));
    assert.equal(formatIPv4(Uint8Array.from(bytes)), text);
    assert.equal(isIPv4(text), true);
  });
}

for (const text of bad) {
  test(`parseIPv4() refuses ${JSON.stringify(text)}`, () => {
    assert.equal(parseIPv4(text), undefined);
    assert.equal(isIPv4(text), false);
  });
}

test("isIPv4() is false for a value that is not a string", () => {
  for (const value of [undefined, null, 1, {}, ["1.2.3.4"]]) assert.equal(isIPv4(value), false);
});

test("readIPv4() reads and writes at the given offsets", () => {
  const out = new Uint8Array(6);
  assert.equal(readIPv4("x:1.2.3.4", 2, out, 1), true);
  assert.deepEqual(out, Uint8Array.of(0, 1, 2, 3, 4, 0));
});

test("formatIPv4() prints every octet in every place", () => {
  for (let octet = 0; octet < 256; octet++) {
    for (let place = 0; place < 4; place++) {
      const bytes = new Uint8Array(4);
      bytes[place] = octet;
      assert.equal(formatIPv4(bytes), bytes.join("."));
    }
  }
});

test("formatIPv4() starts at the offset and takes a Buffer", () => {
  assert.equal(formatIPv4(Buffer.from([9, 9, 10, 0, 0, 1, 9]), 2), "10.0.0.1");
});

test("formatIPv4() refuses to print bytes that are not there", () => {
  const wanted = { name: "RangeError", message: /bytes has length 4, required 4 bytes from -?[\d.]+ on$/ };
  for (const offset of [1, 4, -1, 0.5]) assert.throws(() => formatIPv4(new Uint8Array(4), offset), wanted);
  assert.throws(() => formatIPv4(new Uint8Array(0)), RangeError);
});

testSeeds("parseIPv4() undoes formatIPv4() for random addresses", [4], (random) => {
  for (let i = 0; i < 5000; i++) {
    const bytes = Uint8Array.from({ length: 4 }, () => random(256));
    assert.deepEqual(parseIPv4(formatIPv4(bytes)), bytes);
  }
});

testSeeds(
  "parseIPv4() agrees with Python's ipaddress and with node:net on texts that are nearly right",
  [44],
  (random) => {
    const cases = [...good.map(([text]) => text), ...bad];
    for (let i = 0; i < 10_000; i++) {
      const text = formatIPv4(Uint8Array.from({ length: 4 }, () => random(256)));
      cases.push(mutate(random, text, "0123456789..x: "));
    }
    const answers = python("ipaddress.IPv4Address(case).packed.hex()", cases);
    let accepted = 0;
    cases.forEach((text, i) => {
      const found = hex(parseIPv4(text));
      if (found !== null) accepted++;
      assert.equal(found, answers[i], JSON.stringify(text));
      assert.equal(found !== null, nodeIsIPv4(text), JSON.stringify(text));
    });
    assert.ok(accepted > 1000 && accepted < cases.length - 1000, `${accepted} accepted`);
  },
);
