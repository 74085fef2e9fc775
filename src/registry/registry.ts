// The registry: the sockets that were made and not closed, and the waiting calls, each with the line that made it.
//
// The registry exists only while tracing is on or a listener is attached (the inspector attaches one). Otherwise the
// variable `registry` is undefined, which costs no memory. The code that makes or closes a socket, or begins or ends a
// wait, tests that variable. Calls that succeed at once do not test the variable. To observe these calls too, a
// listener replaces entries of the table of system calls in sys/calls.ts.
//
// The registry has weak references to the objects. So it does not delay their collection, and a socket that was not
// closed still causes its warning.

import { clock } from "../builtins.js";
import { callerLine } from "./callerLine.js";

/** A socket that was made while the registry was on. */
export interface ObjectRecord {
  /** The number of the record, from 1 on in each thread. Objects and calls share the numbers. */
  readonly id: number;
  /** The socket. The reference is weak, so the socket can still be collected. */
  readonly object: WeakRef<object>;
  /** When it was made: milliseconds, as of `performance.now()`. */
  readonly since: number;
  /** The line of the program that made it: file, line and column. */
  readonly line: string | undefined;
}

/** A call that waits, or has waited. */
export interface CallRecord {
  /** The number of the record. */
  readonly id: number;
  /** The name of the call. */
  readonly call: string;
  /** The object of the call. */
  readonly object: WeakRef<object>;
  /** When the call began: milliseconds, as of `performance.now()`. */
  readonly since: number;
  /** The line of the program that made the call: file, line and column. */
  readonly line: string | undefined;
}

/** Gets the events of the registry. Its methods must not throw, and must not run code of users. */
export interface RegistryListener {
  /** Whether the listener replaces entries of the table of system calls. Then relays, which work in C, are off. */
  readonly replacesCalls?: boolean;
  onObjectMade?(record: ObjectRecord): void;
  onObjectClosed?(record: ObjectRecord): void;
  onCallBegun?(record: CallRecord): void;
  onCallEnded?(record: CallRecord): void;
}

/** The records of live sockets and waiting calls, and the listeners. See the top of the file. */
export class Registry {
  readonly #listeners = new Set<RegistryListener>();
  /** The number of listeners that get the events of calls. */
  #callListeners = 0;
  /** The number of listeners that replace entries of the table of system calls. */
  #replacers = 0;
  /** The records of the live objects, by `id`. */
  readonly #objects = new Map<number, ObjectRecord>();
  /** From an object to its record. */
  readonly #objectRecords = new WeakMap<object, ObjectRecord>();
  /** From the key of a waiting call to its record. */
  readonly #callRecords = new WeakMap<object, CallRecord>();
  readonly #collected = new FinalizationRegistry<number>((id) => this.#objects.delete(id));
  /** The number of records that were made. */
  #recordCount = 0;

  /** The sockets that were made while the registry was on, and are neither closed nor collected. */
  get objects(): Iterable<ObjectRecord> {
    return this.#objects.values();
  }

  /** Whether a listener replaces entries of the table of system calls. */
  get callsReplaced(): boolean {
    return this.#replacers > 0;
  }

  /** The record of a waiting call; undefined if the call began while the registry was off. */
  callOf(key: object): CallRecord | undefined {
    return this.#callRecords.get(key);
  }

  /** Records an object that was made. */
  addObject(object: object): void {
    const record = { id: ++this.#recordCount, object: new WeakRef(object), since: clock(), line: callerLine() };
    this.#objects.set(record.id, record);
    this.#objectRecords.set(object, record);
    this.#collected.register(object, record.id, object);
    for (const listener of this.#listeners) listener.onObjectMade?.(record);
  }

  /** Removes an object that was closed. Does nothing for an object that was made while the registry was off. */
  removeObject(object: object): void {
    const record = this.#objectRecords.get(object);
    if (record === undefined || !this.#objects.delete(record.id)) return;
    this.#collected.unregister(object);
    for (const listener of this.#listeners) listener.onObjectClosed?.(record);
  }

  /**
   * Records a call that begins to wait. The call gets a line while tracing is on, and otherwise if the budget of lines
   * has one. A call without a line is recorded only if a listener gets the events of calls.
   *
   * @param key identifies the call; a new object for each call
   * @param call the name of the call
   * @param object the object of the call
   */
  addCall(key: object, call: string, object: object): void {
    const line = tracing || takeLineBudget() ? callerLine() : undefined;
    if (line === undefined && this.#callListeners === 0) return;
    const record = { id: ++this.#recordCount, call, object: new WeakRef(object), since: clock(), line };
    this.#callRecords.set(key, record);
    for (const listener of this.#listeners) listener.onCallBegun?.(record);
  }

  /** Removes a call that has ended. */
  removeCall(key: object): void {
    const record = this.#callRecords.get(key);
    if (record === undefined) return;
    this.#callRecords.delete(key);
    for (const listener of this.#listeners) listener.onCallEnded?.(record);
  }

  attach(listener: RegistryListener): void {
    if (this.#listeners.has(listener)) return;
    this.#listeners.add(listener);
    if (listensToCalls(listener)) this.#callListeners++;
    if (listener.replacesCalls === true) this.#replacers++;
  }

  /** @returns whether no listener is left */
  detach(listener: RegistryListener): boolean {
    if (this.#listeners.delete(listener)) {
      if (listensToCalls(listener)) this.#callListeners--;
      if (listener.replacesCalls === true) this.#replacers--;
    }
    return this.#listeners.size === 0;
  }
}

const listensToCalls = (listener: RegistryListener): boolean =>
  listener.onCallBegun !== undefined || listener.onCallEnded !== undefined;

// The budget of lines: a token bucket. The line of a call needs a stack trace, which takes about ten microseconds, as
// long as the exchange of a small message. So in a busy program only some calls get a line. With `setTracing(true)` all
// waiting calls get one.
const LINES_AT_ONCE = 500;
const LINES_PER_SECOND = 100;
let linesLeft = LINES_AT_ONCE;
/** When lines were last added to `linesLeft`, as of `clock()`. */
let refilledAt = 0;
/** The number of calls of `takeLineBudget()` that found less than one line in `linesLeft`. */
let refusals = 0;

/** Takes one line from the budget. Returns false if the budget is spent. */
export function takeLineBudget(): boolean {
  if (linesLeft < 1) {
    // Refills only at every 32nd refusal, because reading the clock is slow too.
    if (++refusals % 32 !== 0) return false;
    const now = clock();
    linesLeft = Math.min(LINES_AT_ONCE, linesLeft + ((now - refilledAt) * LINES_PER_SECOND) / 1000);
    refilledAt = now;
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

/** Removes a listener. When no listener is left, the registry is off, and its records are dropped. */
export function detachListener(listener: RegistryListener): void {
  if (registry?.detach(listener) === true) registry = undefined;
}

/** The listener that tracing attaches. It only keeps the registry on. */
const tracer: RegistryListener = {};
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
 * Calls that already wait get no line.
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
    if (on) attachListener(tracer);
    else detachListener(tracer);
  }
  return before;
}

if (process.env["BERKELEY_TRACE"] === "1") setTracing(true);
