// Wrong arguments of "berkeley/testing": a TypeError or a RangeError at once, that names the argument.
import assert from "node:assert/strict";
import { test } from "node:test";
import * as testing from "berkeley/testing";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

const { connConformance, FakeClock, firstDifference, MemoryListener, memoryPair, pattern } = testing;
const { readFully, readToEnd, seededChunks, seededNumbers } = testing;

type Case = readonly [call: () => unknown, error: typeof TypeError | typeof RangeError, text: RegExp];

// The arguments are wrong on purpose, so they have no types here.
const any = (value: unknown): never => value as never;
const clock = new FakeClock();
const pair = (opts: unknown) => (): unknown => memoryPair(any(opts));
const fault = (value: object) => pair({ faults: [{ call: "read", error: "EIO", ...value }] });
const listener = (opts: unknown) => (): unknown => new MemoryListener(any(opts));
const traits = (opts: unknown) => (): unknown => connConformance("x", () => memoryPair(), any(opts));

const CASES: Readonly<Record<string, readonly Case[]>> = {
  memoryPair: [
    [pair(5), TypeError, /options are 5, required an object/],
    [pair({ capasity: 5 }), TypeError, /option "capasity" is unknown.*did you mean "capacity"/],
    [pair({ capacity: 0 }), RangeError, /capacity is 0, required a number of bytes from 1 on/],
    [pair({ capacity: "5" }), TypeError, /capacity is "5"/],
    [pair({ capacity: NaN }), RangeError, /capacity is NaN/],
    [pair({ latency: -1 }), RangeError, /latency is -1, required milliseconds/],
    [pair({ latency: "1" }), TypeError, /latency is "1"/],
    [pair({ chunking: 0 }), RangeError, /chunking is 0/],
    [pair({ chunking: "3" }), TypeError, /chunking is "3"/],
    [pair({ clock: {} }), TypeError, /clock is \{\}, required a Clock/],
    [pair({ clock: null }), TypeError, /clock is null/],
    [pair({ addresses: "x" }), TypeError, /addresses is "x"/],
    [pair({ addresses: ["127.0.0.1", undefined] }), TypeError, /addresses\[0\] is "127\.0\.0\.1"/],
    [pair({ faults: {} }), TypeError, /faults is \{\}, required an array/],
    [pair({ faults: [null] }), TypeError, /faults\[0\] is null/],
    [fault({ calls: "read" }), TypeError, /option "calls" is unknown.*did you mean "call"/],
    [
      fault({ call: "closeWrite", after: 1 }),
      RangeError,
      /faults\[0\]\.after is 1, required 0 with the call "closeWrite"/,
    ],
    [fault({ call: "recv" }), TypeError, /faults\[0\]\.call is "recv", required "read" or "write" or "closeWrite"/],
    [fault({ side: "c" }), TypeError, /faults\[0\]\.side is "c"/],
    [fault({ after: -1 }), RangeError, /faults\[0\]\.after is -1/],
    [fault({ after: "1" }), TypeError, /faults\[0\]\.after is "1"/],
    [fault({ times: 0 }), RangeError, /faults\[0\]\.times is 0/],
    [fault({ error: 5 }), TypeError, /faults\[0\]\.error is 5, required a code or an Error/],
    [fault({ error: undefined }), TypeError, /faults\[0\]\.error is undefined/],
  ],
  MemoryListener: [
    [listener({ backlogs: 5 }), TypeError, /option "backlogs" is unknown.*did you mean "backlog"/],
    [listener({ addresses: [] }), TypeError, /option "addresses" is unknown.*did you mean "address"/],
    [listener({ backlog: 1.5 }), RangeError, /backlog is 1\.5/],
    [listener({ backlog: "5" }), TypeError, /backlog is "5"/],
    [listener({ address: "x" }), TypeError, /address is "x", required an Address/],
    [listener({ latency: "x" }), TypeError, /latency is "x"/],
    [listener({ faults: [{}] }), TypeError, /faults\[0\]\.call is undefined/],
  ],
  "FakeClock.advance": [
    [() => clock.advance(any(undefined)), TypeError, /ms is undefined, required milliseconds from 0 on/],
    [() => clock.advance(any("5")), TypeError, /ms is "5"/],
    [() => clock.advance(-1), RangeError, /ms is -1/],
    [() => clock.advance(NaN), RangeError, /ms is NaN/],
    [() => clock.advance(Infinity), RangeError, /ms is Infinity/],
  ],
  "FakeClock.setTimeout": [
    [() => clock.setTimeout(any("x"), 1), TypeError, /run is "x", required a function/],
    [() => clock.setTimeout(() => undefined, any("1")), TypeError, /ms is "1"/],
  ],
  seededNumbers: [
    [() => seededNumbers(any(undefined)), TypeError, /seed is undefined/],
    [() => seededNumbers(1.5), RangeError, /seed is 1\.5/],
  ],
  seededChunks: [
    [() => seededChunks(1, any(undefined)), TypeError, /most is undefined/],
    [() => seededChunks(1, 0), RangeError, /most is 0/],
    [() => seededChunks(any("1"), 1), TypeError, /seed is "1"/],
  ],
  pattern: [
    [() => pattern(any("1")), TypeError, /size is "1"/],
    [() => pattern(-1), RangeError, /size is -1/],
    [() => pattern(1, any(null)), TypeError, /position is null/],
  ],
  firstDifference: [
    [() => firstDifference(any("x")), TypeError, /buffer is "x", required a Uint8Array/],
    [() => firstDifference(Buffer.alloc(1), -1), RangeError, /position is -1/],
  ],
  "readToEnd and readFully": [
    [() => readToEnd(any(5)), TypeError, /reader is 5, required a Reader/],
    [() => readFully(any(undefined), 5), TypeError, /reader is undefined/],
    [() => readFully(memoryPair()[0], any("5")), TypeError, /size is "5"/],
    [() => readFully(memoryPair()[0], -5), RangeError, /size is -5/],
  ],
  connConformance: [
    [() => connConformance(any(5), () => memoryPair()), TypeError, /name is 5, required a string/],
    [() => connConformance("x", any(5)), TypeError, /makePair is 5, required a function/],
    [traits({ half_close: true }), TypeError, /option "half_close" is unknown.*did you mean "halfClose"/],
    [traits({ reset: 1 }), TypeError, /reset is 1, required true or false/],
    [traits({ patience: -1 }), RangeError, /patience is -1/],
    [traits({ bulk: 1.5 }), RangeError, /bulk is 1\.5/],
    [traits({ maxHeld: "x" }), TypeError, /maxHeld is "x"/],
  ],
};

for (const [name, cases] of Object.entries(CASES)) {
  test(`${name} refuses wrong arguments`, async () => {
    for (const [call, kind, text] of cases) {
      await assert.rejects(
        async () => await call(),
        (error: Error) => {
          assert.equal(error.constructor, kind, String(error));
          assert.match(error.message, text);
          assert.match(error.message, /^Cannot /);
          return true;
        },
      );
    }
    assert.equal(clock.now(), 0);
  });
}

test("options that are undefined count as absent", () => {
  const none = { capacity: undefined, latency: undefined, chunking: undefined, faults: undefined, clock: undefined };
  assert.equal(memoryPair({ ...none, addresses: undefined }).length, 2);
  assert.equal(new MemoryListener({ ...none, backlog: undefined, address: undefined }).stats().backlog, 128);
  assert.equal(memoryPair({ faults: [{ call: "read", error: "EIO", times: Infinity, side: undefined }] }).length, 2);
});
