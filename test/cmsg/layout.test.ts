// The layout of control messages in their bytes.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { CMSG_LEN, CMSG_SPACE } from "berkeley";
import { forEachMessage, writeHeader } from "#berkeley/cmsg/layout.js";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

type Seen = [level: number, type: number, data: number[]];

function messages(bytes: Uint8Array, length: number = bytes.length): Seen[] {
  const seen: Seen[] = [];
  forEachMessage(bytes, length, (level, type, data) => seen.push([level, type, [...data]]));
  return seen;
}

test("CMSG_LEN() and CMSG_SPACE() are those of the C macros", () => {
  const lengths = [0, 1, 3, 4, 7, 8, 9, 12, 16, 20, 100, 1012];
  const script = `import socket; print([(socket.CMSG_LEN(n), socket.CMSG_SPACE(n)) for n in ${JSON.stringify(lengths)}])`;
  const expected = execFileSync("python3", ["-c", script], { encoding: "utf8" }).trim();
  const found = `[${lengths.map((n) => `(${CMSG_LEN(n)}, ${CMSG_SPACE(n)})`).join(", ")}]`;
  assert.equal(found, expected);
});

test("CMSG_LEN() and CMSG_SPACE() refuse a value that is not a length", () => {
  assert.throws(() => CMSG_LEN(-1), { name: "RangeError", message: /length is -1/ });
  assert.throws(() => CMSG_SPACE(1.5), { name: "RangeError" });
  assert.throws(() => CMSG_SPACE(2 ** 31), { name: "RangeError" });
  assert.throws(() => CMSG_LEN("4" as unknown as number), { name: "TypeError" });
});

test("forEachMessage() visits each message with exactly its data", () => {
  const bytes = new Uint8Array(CMSG_SPACE(3) + CMSG_SPACE(0) + CMSG_SPACE(8));
  writeHeader(bytes, 0, 3, 1, 2);
  bytes.set([7, 8, 9], CMSG_LEN(0));
  writeHeader(bytes, CMSG_SPACE(3), 0, -1, 5);
  writeHeader(bytes, CMSG_SPACE(3) + CMSG_SPACE(0), 8, 41, 50);
  bytes.set([1, 2, 3, 4, 5, 6, 7, 8], CMSG_SPACE(3) + CMSG_SPACE(0) + CMSG_LEN(0));
  assert.deepEqual(messages(bytes), [
    [1, 2, [7, 8, 9]],
    [-1, 5, []],
    [41, 50, [1, 2, 3, 4, 5, 6, 7, 8]],
  ]);
});

test("forEachMessage() takes a last message without its padding", () => {
  const bytes = new Uint8Array(CMSG_LEN(5));
  writeHeader(bytes, 0, 5, 1, 2);
  assert.deepEqual(messages(bytes), [[1, 2, [0, 0, 0, 0, 0]]]);
});

test("forEachMessage() stops at a length that is too small, too large or cut off", () => {
  const whole = new Uint8Array(CMSG_SPACE(4));
  writeHeader(whole, 0, 4, 1, 2);
  for (let length = 0; length < CMSG_LEN(4); length++) assert.deepEqual(messages(whole, length), [], `${length} bytes`);
  for (const data of [-CMSG_LEN(0), -1, 9, 1000, 2 ** 32, 2 ** 53 - 100]) {
    const bytes = new Uint8Array(CMSG_SPACE(4));
    writeHeader(bytes, 0, data, 1, 2);
    assert.deepEqual(messages(bytes), [], `${data} bytes of data`);
  }
  const huge = new Uint8Array(CMSG_SPACE(4)).fill(0xff);
  assert.deepEqual(messages(huge), []);
});

test("forEachMessage() reads no further than its bytes, with any given length", () => {
  const bytes = new Uint8Array(CMSG_SPACE(4));
  writeHeader(bytes, 0, 4, 1, 2);
  assert.deepEqual(messages(bytes, 1_000_000), [[1, 2, [0, 0, 0, 0]]]);
});
