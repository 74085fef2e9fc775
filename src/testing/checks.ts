// The checks of the arguments of "berkeley/testing".

import type { Address } from "../addr/address.js";
import { checkOptions, integer, quote } from "../check/index.js";
import { type Clock, systemClock } from "../wait/clock.js";
import { milliseconds } from "../wait/waitOptions.js";
import type { Fault } from "./faults.js";
import type { MemoryOptions } from "./memory.js";

const MAX_WHOLE_NUMBER = Number.MAX_SAFE_INTEGER;

/** Returns `value` if it is a number from `min` on, whole or not. Otherwise throws an error that names the action. */
export function checkNumber(value: unknown, action: string, name: string, min: number, unit: string): number {
  if (typeof value === "number" && value >= min) return value;
  const text = `Cannot ${action}: ${name} is ${quote(value)}, required ${unit} from ${min} on`;
  throw typeof value === "number" ? new RangeError(text) : new TypeError(text);
}

/** Returns `value` if it is a whole number from `min` on, or Infinity. Otherwise throws. */
function checkCount(value: unknown, action: string, name: string, min: number): number {
  return value === Infinity ? value : integer(value, action, name, min, MAX_WHOLE_NUMBER);
}

/** Returns `value` if it is a function. Otherwise throws. */
export function checkFunction<F>(value: F, action: string, name: string): F {
  if (typeof value === "function") return value;
  throw new TypeError(`Cannot ${action}: ${name} is ${quote(value)}, required a function`);
}

/** Returns `value` if it is a whole number from `min` on. Otherwise throws. */
export const wholeNumber = (value: unknown, action: string, name: string, min: number = 0): number =>
  integer(value, action, name, min, MAX_WHOLE_NUMBER);

/** Throws unless `value` is one of the known values. */
function checkOneOf(value: unknown, known: readonly unknown[], action: string, name: string): void {
  if (known.includes(value)) return;
  const required = known.map(quote).join(" or ");
  throw new TypeError(`Cannot ${action}: ${name} is ${quote(value)}, required ${required}`);
}

/** Returns `value` if it is a clock, and the clock of the system for undefined. Otherwise throws. */
export function checkClock(value: Clock | undefined, action: string): Clock {
  if (value === undefined) return systemClock;
  const given: Partial<Record<keyof Clock, unknown>> = typeof value === "object" && value !== null ? value : {};
  if ([given.now, given.setTimeout, given.clearTimeout].every((method) => typeof method === "function")) return value;
  const required = "a Clock: an object with now(), setTimeout() and clearTimeout()";
  throw new TypeError(`Cannot ${action}: clock is ${quote(value)}, required ${required}`);
}

export function checkAddress(value: Address | undefined, action: string, name: string): void {
  if (value === undefined || (typeof value === "object" && value !== null && "family" in value)) return;
  throw new TypeError(`Cannot ${action}: ${name} is ${quote(value)}, required an Address`);
}

/** @param name the name of the fault for messages, such as `faults[0]` */
function checkFault(fault: Fault, action: string, name: string): void {
  if (typeof fault !== "object" || fault === null || Array.isArray(fault)) {
    throw new TypeError(`Cannot ${action}: ${name} is ${quote(fault)}, required an object`);
  }
  checkOptions(fault, `${action} with ${name}`, ["side", "call", "after", "error", "times"]);
  const { side, call, after = 0, error, times = 1 } = fault;
  if (side !== undefined) checkOneOf(side, ["a", "b"], action, `${name}.side`);
  checkOneOf(call, ["read", "write", "closeWrite"], action, `${name}.call`);
  checkCount(after, action, `${name}.after`, 0);
  if (call === "closeWrite" && after > 0) {
    throw new RangeError(`Cannot ${action}: ${name}.after is ${after}, required 0 with the call "closeWrite"`);
  }
  checkCount(times, action, `${name}.times`, 1);
  if (typeof error === "string" ? error !== "" : error instanceof Error) return;
  throw new TypeError(`Cannot ${action}: ${name}.error is ${quote(error)}, required a code or an Error`);
}

/** The options of a connection in memory, checked, with their defaults. */
export interface CheckedMemory {
  readonly capacity: number;
  readonly latency: number;
  readonly chunk: (available: number) => number;
  readonly faults: readonly Fault[];
  readonly clock: Clock;
}

/** The names of the options that all connections and listeners in memory have. */
export const MEMORY_NAMES: readonly string[] = ["capacity", "latency", "chunking", "faults", "clock"];

/** @param furtherNames the names of the options that only this kind of connection or listener has */
export function checkMemory(opts: MemoryOptions, action: string, furtherNames: readonly string[]): CheckedMemory {
  checkOptions(opts, action, [...MEMORY_NAMES, ...furtherNames]);
  const { capacity = 65_536, chunking = Infinity, faults = [], clock } = opts;
  checkNumber(capacity, action, "capacity", 1, "a number of bytes");
  const latency = milliseconds(opts.latency, action, "latency") ?? 0;
  if (typeof chunking !== "function") checkNumber(chunking, action, "chunking", 1, "a function or a number of bytes");
  const chunk = typeof chunking === "function" ? chunking : (): number => chunking;
  if (!Array.isArray(faults)) {
    throw new TypeError(`Cannot ${action}: faults is ${quote(faults)}, required an array`);
  }
  faults.forEach((fault: Fault, index) => checkFault(fault, action, `faults[${index}]`));
  return { capacity, latency, chunk, faults, clock: checkClock(clock, action) };
}
