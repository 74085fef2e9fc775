// The registry: the sockets that were made and not closed, and the waiting calls with the line that began each.
//
// It exists only while a program uses it: while tracing is on, or while a listener is attached (the inspector). Off,
// `registry` is undefined, so it holds nothing and no function of it is called. The code that makes or closes a socket,
// or begins or ends a wait, tests that one variable. Calls that succeed at once do not: system calls can be observed by
// replacing the entries of the table in sys/calls.ts.
//
// The registry holds objects weakly, so that it changes neither their collection nor the warning about sockets that
// were not closed.

import { clock } from "../builtins.js";
import { callerLine } from "./callerLine.js";

/** A socket that was made while the registry was on. */
export interface ObjectRecord {
  /** Counts up from 1 in this thread. */
  readonly id: number;
  /** Undefined once the object is collected. */
  readonly object: WeakRef<object>;
  /** When it was made: milliseconds, as of `performance.now()`. */
  readonly since: number;
  /** The line of the program that made it: file, line and column. */
  readonly line: string | undefined;
}

/** A call that waits, or has waited. */
export interface CallRecord {
  readonly id: number;
  /** The name of the call. */
  readonly call: string;
  /** The object of the call. */
  readonly object: WeakRef<object>;
  readonly since: number;
  /** The line of the program that made the call: file, line and column. */
  readonly line: string | undefined;
}

/** Gets the events of the registry. It must not throw, and must not run code of users. */
export interface RegistryListener {
  /** Whether it has replaced calls of the table: native code must not make such calls without the table then. */
  readonly seesCalls?: boolean;
  made?(record: ObjectRecord): void;
  closed?(record: ObjectRecord): void;
  begun?(record: CallRecord): void;
  ended?(record: CallRecord): void;
}

export class Registry {
  readonly #listeners = new Set<RegistryListener>();
  /** The listeners that get the events of calls. */
  #callListeners = 0;
  /** The listeners that have replaced calls of the table. */
  #observers = 0;
  readonly #objects = new Map<number, ObjectRecord>();
  readonly #recordOf = new WeakMap<object, ObjectRecord>();
  readonly #callOf = new WeakMap<object, CallRecord>();
  readonly #collected = new FinalizationRegistry<number>((id) => this.#objects.delete(id));
  #count = 0;

  /** The sockets that were made while the registry was on, and are neither closed nor collected. */
  get objects(): Iterable<ObjectRecord> {
    return this.#objects.values();
  }

  /** Whether every call has to go through the table. */
  get seesCalls(): boolean {
    return this.#observers > 0;
  }

  /** The record of a waiting call; undefined if the call began while the registry was off. */
  callOf(key: object): CallRecord | undefined {
    return this.#callOf.get(key);
  }

  /** An object was made. */
  made(object: object): void {
    const record = { id: ++this.#count, object: new WeakRef(object), since: clock(), line: callerLine() };
    this.#objects.set(record.id, record);
    this.#recordOf.set(object, record);
    this.#collected.register(object, record.id, object);
    for (const listener of this.#listeners) listener.made?.(record);
  }

  /** An object was closed. */
  closed(object: object): void {
    const record = this.#recordOf.get(object);
    if (record === undefined || !this.#objects.delete(record.id)) return;
    this.#collected.unregister(object);
    for (const listener of this.#listeners) listener.closed?.(record);
  }

  /** @param key the object that stands for the call while it waits */
  begun(key: object, call: string, object: object): void {
    // While tracing is off, most waits of a busy program have no line and so no record.
    const line = tracing || takeLine() ? callerLine() : undefined;
    if (line === undefined && this.#callListeners === 0) return;
    const record = { id: ++this.#count, call, object: new WeakRef(object), since: clock(), line };
    this.#callOf.set(key, record);
    for (const listener of this.#listeners) listener.begun?.(record);
  }

  ended(key: object): void {
    const record = this.#callOf.get(key);
    if (record === undefined) return;
    this.#callOf.delete(key);
    for (const listener of this.#listeners) listener.ended?.(record);
  }

  attach(listener: RegistryListener): void {
    if (this.#listeners.has(listener)) return;
    this.#listeners.add(listener);
    if (getsCalls(listener)) this.#callListeners++;
    if (listener.seesCalls === true) this.#observers++;
  }

  /** @returns whether no listener is left */
  detach(listener: RegistryListener): boolean {
    if (this.#listeners.delete(listener)) {
      if (getsCalls(listener)) this.#callListeners--;
      if (listener.seesCalls === true) this.#observers--;
    }
    return this.#listeners.size === 0;
  }
}

const getsCalls = (listener: RegistryListener): boolean => listener.begun !== undefined || listener.ended !== undefined;

/**
 * Lines that are recorded for listeners alone, in a burst and in a second. A stack trace takes about ten microseconds, which
 * is as long as a small exchange takes. So a busy program gets the lines of some of its calls. `setTracing(true)` records
 * all.
 */
const LINES_AT_ONCE = 500;
const LINES_PER_SECOND = 100;
let linesLeft = LINES_AT_ONCE;
let linesCounted = 0;
let linesRefused = 0;

/** Whether a line may be recorded now, while tracing is off. */
export function takeLine(): boolean {
  if (linesLeft < 1) {
    // Reading the clock is slow, too.
    if (++linesRefused % 32 !== 0) return false;
    const now = clock();
    linesLeft = Math.min(LINES_AT_ONCE, linesLeft + ((now - linesCounted) * LINES_PER_SECOND) / 1000);
    linesCounted = now;
    if (linesLeft < 1) return false;
  }
  linesLeft--;
  return true;
}

/** Undefined while the registry is off. */
export let registry: Registry | undefined;

/** Turns the registry on, if it is off, and passes its events to `listener`. */
export function attachListener(listener: RegistryListener): void {
  registry ??= new Registry();
  registry.attach(listener);
}

/** Undoes {@link attachListener}. After the last listener, the registry is off and its records are gone. */
export function detachListener(listener: RegistryListener): void {
  if (registry?.detach(listener) === true) registry = undefined;
}

/** The listener that tracing attaches. It only keeps the registry on. */
const TRACING: RegistryListener = {};
let tracing = false;

/** Whether tracing is on in this thread. */
export function isTracing(): boolean {
  return tracing;
}

/**
 * Turns tracing on or off, for this thread. While it is on, the line of the program that begins a call is recorded, and
 * {@link pending} returns it. That costs a stack trace for each call that waits and for each socket that is made, so it
 * is off by default. With `BERKELEY_TRACE=1` in the environment it is on from the start, in worker threads too.
 *
 * Calls that already wait have no line.
 *
 * @returns whether tracing was on before
 * @throws TypeError if `on` is neither true nor false
 * @example
 * ```ts
 * import { pending, setTracing, socketpair } from "berkeley";
 *
 * setTracing(true);
 * const [left, right] = socketpair();
 * const received = left.recv(100);
 * const [call] = pending();
 * console.log(call?.call, call?.line !== undefined); // prints: recv true
 * setTracing(false);
 * await right.sendAll("bye");
 * await received;
 * left.close();
 * right.close();
 * ```
 */
export function setTracing(on: boolean): boolean {
  if (typeof on !== "boolean") {
    throw new TypeError(`Cannot set tracing: on is ${String(on)}, required true or false`);
  }
  const before = tracing;
  if (on !== before) {
    tracing = on;
    if (on) attachListener(TRACING);
    else detachListener(TRACING);
  }
  return before;
}

if (process.env["BERKELEY_TRACE"] === "1") setTracing(true);
