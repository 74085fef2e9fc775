// The conformance suite: the contract of a Conn (src/io.ts) as a list of named checks for any test runner.

import { checkOptions, flag, quote } from "../check/index.js";
import type { Conn } from "../io.js";
import { milliseconds } from "../wait/waitOptions.js";
import { checkFunction, checkNumber, wholeNumber } from "./checks.js";
import { closeChecks } from "./conformanceClose.js";
import { readChecks } from "./conformanceRead.js";
import { writeChecks } from "./conformanceWrite.js";
import { markHandled } from "./testBytes.js";

/** Two connected ends, and a function that cleans up the layers below after both ends were closed. */
export type ConnPair = readonly [a: Conn, b: Conn, cleanup?: () => Promise<void> | void];

/** The properties in which kinds of connections may differ. */
export interface ConnTraits {
  /** Whether `abort()` causes a reset at the peer. UNIX sockets have none. Default true. */
  readonly reset?: boolean | undefined;
  /** Whether one direction can end before the other. Default true. */
  readonly halfClose?: boolean | undefined;
  /** Maximum number of bytes that the layers between two ends hold if the peer does not read. Default 64 MiB. */
  readonly maxHeld?: number | undefined;
  /** Milliseconds after which a write counts as waiting, if the peer does not read. Default 100. */
  readonly patience?: number | undefined;
  /** Bytes that the check of both directions moves in each direction. Default 4 MiB. */
  readonly bulk?: number | undefined;
  /** Milliseconds after which a check that has not ended fails. Default 20000. */
  readonly deadline?: number | undefined;
}

/** Traits with the default values filled in. */
export type CompleteTraits = { readonly [K in keyof ConnTraits]-?: Exclude<ConnTraits[K], undefined> };

/** A check of two connected ends. */
export interface Check {
  readonly name: string;
  /** Traits that must be true. Otherwise the check is left out. */
  readonly needs?: readonly ("reset" | "halfClose")[];
  run(a: Conn, b: Conn, traits: CompleteTraits): Promise<void>;
}

/** A check for a test runner. */
export interface ConnCheck {
  readonly name: string;
  /** Makes a pair, checks it and cleans up. Rejects if the check fails. */
  readonly run: () => Promise<void>;
}

/**
 * The checks that a kind of connection must pass to be used as a {@link Conn}. Each check calls `makePair` for two
 * connected ends. The list has no checks for properties that the connection lacks according to `traits`.
 *
 * @throws TypeError or RangeError for an argument that is wrong
 * @example
 * ```ts
 * import { test } from "node:test";
 * import { connConformance, memoryPair } from "berkeley/testing";
 *
 * for (const check of connConformance("a memory pair", () => memoryPair())) test(check.name, check.run);
 * ```
 */
export function connConformance(
  name: string,
  makePair: () => Promise<ConnPair> | ConnPair,
  traits: ConnTraits = {},
): ConnCheck[] {
  const action = "make the checks of a connection";
  if (typeof name !== "string") {
    throw new TypeError(`Cannot ${action}: name is ${quote(name)}, required a string`);
  }
  checkFunction(makePair, action, "makePair");
  checkOptions(traits, action, ["reset", "halfClose", "maxHeld", "patience", "bulk", "deadline"]);
  const time = (value: unknown, defaultTime: number, trait: string): number =>
    milliseconds(value, action, trait) ?? defaultTime;
  const completeTraits: CompleteTraits = {
    reset: flag(traits.reset, true, action, "reset"),
    halfClose: flag(traits.halfClose, true, action, "halfClose"),
    maxHeld: checkNumber(traits.maxHeld ?? 67_108_864, action, "maxHeld", 0, "a number of bytes"),
    patience: time(traits.patience, 100, "patience"),
    bulk: wholeNumber(traits.bulk ?? 4_194_304, action, "bulk"),
    deadline: time(traits.deadline, 20_000, "deadline"),
  };
  return [...readChecks, ...writeChecks, ...closeChecks]
    .filter((check) => (check.needs ?? []).every((trait) => completeTraits[trait]))
    .map((check) => ({ name: `${name}: ${check.name}`, run: () => runCheck(check, makePair, completeTraits) }));
}

/** Makes a pair, runs the check, closes both ends and cleans up. */
async function runCheck(
  check: Check,
  makePair: () => Promise<ConnPair> | ConnPair,
  traits: CompleteTraits,
): Promise<void> {
  const [a, b, cleanup] = await makePair();
  try {
    await settleWithin(traits.deadline, markHandled(check.run(a, b, traits)), "run the check");
  } finally {
    a.abort();
    b.abort();
    await settleWithin(traits.deadline, Promise.all([a.close(), b.close()]), "close both ends");
    await cleanup?.();
  }
}

/** Rejects if `work` has not settled after `ms` milliseconds. */
async function settleWithin(ms: number, work: Promise<unknown>, action: string): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timedOut = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`Cannot ${action}: it takes longer than ${ms} ms`)), ms);
  });
  try {
    await Promise.race([work, timedOut]);
  } finally {
    clearTimeout(timer);
  }
}
