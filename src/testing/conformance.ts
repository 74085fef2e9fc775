// The conformance suite: what every Conn must do, as a list of named checks for any test runner.

import type { Conn } from "../io.js";
import { later } from "./testBytes.js";
import { closeChecks } from "./conformanceClose.js";
import { readChecks } from "./conformanceRead.js";
import { writeChecks } from "./conformanceWrite.js";

/** Two connected ends, and how to clean up what is beneath them after both were closed. */
export type ConnPair = readonly [a: Conn, b: Conn, cleanup?: () => Promise<void> | void];

/** In what a kind of connection may differ from the others. */
export interface ConnTraits {
  /** Whether a peer can tell `abort()` from `close()`. Not so for UNIX sockets. Default true. */
  readonly reset?: boolean | undefined;
  /** Whether one direction can end before the other. Default true. */
  readonly halfClose?: boolean | undefined;
  /** Bytes that all layers between writer and reader may hold for a peer that does not read. Default 64 MiB. */
  readonly maxHeld?: number | undefined;
  /** Milliseconds after which a write to a peer that does not read counts as stopped. Default 100. */
  readonly patience?: number | undefined;
  /** Bytes that the transfer both ways moves in each direction. Default 4 MiB. */
  readonly bulk?: number | undefined;
  /** Milliseconds that a check may take before it fails as hanging. Default 20000. */
  readonly deadline?: number | undefined;
}

/** Traits with nothing left open. */
export type KnownTraits = { readonly [K in keyof ConnTraits]-?: Exclude<ConnTraits[K], undefined> };

/** A check before it is bound to a kind of connection. */
export interface Check {
  readonly name: string;
  /** Traits that must be true; the check is left out where they are not. */
  readonly needs?: readonly ("reset" | "halfClose")[];
  run(a: Conn, b: Conn, traits: KnownTraits): Promise<void>;
}

/** A check that a test runner can run. */
export interface ConnCheck {
  readonly name: string;
  /** Makes a pair, checks it and cleans up; rejects with what is wrong. */
  readonly run: () => Promise<void>;
}

/**
 * The checks that a kind of connection must pass to be used as a {@link Conn}. `makePair` makes two connected ends for
 * each check. Checks that need what `traits` rules out are left out of the list.
 *
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
  const known: KnownTraits = {
    reset: traits.reset ?? true,
    halfClose: traits.halfClose ?? true,
    maxHeld: traits.maxHeld ?? 67_108_864,
    patience: traits.patience ?? 100,
    bulk: traits.bulk ?? 4_194_304,
    deadline: traits.deadline ?? 20_000,
  };
  return [...readChecks, ...writeChecks, ...closeChecks]
    .filter((check) => (check.needs ?? []).every((trait) => known[trait]))
    .map((check) => ({ name: `${name}: ${check.name}`, run: () => runCheck(check, makePair, known) }));
}

async function runCheck(
  check: Check,
  makePair: () => Promise<ConnPair> | ConnPair,
  traits: KnownTraits,
): Promise<void> {
  const [a, b, cleanup] = await makePair();
  try {
    await within(traits.deadline, later(check.run(a, b, traits)), "the check");
  } finally {
    a.abort();
    b.abort();
    await within(traits.deadline, Promise.all([a.close(), b.close()]), "close()");
    await cleanup?.();
  }
}

async function within(ms: number, work: Promise<unknown>, what: string): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} must end within ${ms} ms, but did not`)), ms);
  });
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
