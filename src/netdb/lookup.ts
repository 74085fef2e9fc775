// Questions to the resolver, their errors, and the two ways to ask them: on a thread of the resolver, or blocking this thread.
//
// Equal questions that are in flight share one lookup, because each lookup occupies a thread for as long as a silent server takes.
// A lookup that every caller has abandoned leaves the queue, or goes on in a thread that no longer counts (native/lookup_threads.c).
//
// What takes several questions (the names of the address of a name) is written once, as a generator that yields them; the
// awaitable functions and the blocking ones differ only in who drives it.

import { domainToASCII } from "node:url";

import { quote } from "../check/index.js";
import { SocketError, type SocketErrorDetails } from "../errors/index.js";
import type {
  AddrinfoEntry,
  Calls,
  HostAndService,
  HostEntry,
  ResolverAnswer,
  ResolverCallback,
} from "../sys/calls.js";
import {
  EAI_ADDRFAMILY,
  EAI_AGAIN,
  EAI_BADFLAGS,
  EAI_FAIL,
  EAI_FAMILY,
  EAI_MEMORY,
  EAI_NODATA,
  EAI_NONAME,
  EAI_OVERFLOW,
  EAI_SERVICE,
  EAI_SOCKTYPE,
  EAI_SYSTEM,
} from "../sys/constants.js";
import { check, socketError } from "../sys/errno.js";
import { addressDetails, decodeAddress } from "../sys/sockaddr.js";

/** Most bytes of a host's name: RFC 1035, section 2.3.4, without the length bytes at both ends. */
export const HOST_BYTES = 253;

const names: ReadonlyMap<number, string> = new Map([
  [EAI_ADDRFAMILY, "EAI_ADDRFAMILY"],
  [EAI_AGAIN, "EAI_AGAIN"],
  [EAI_BADFLAGS, "EAI_BADFLAGS"],
  [EAI_FAIL, "EAI_FAIL"],
  [EAI_FAMILY, "EAI_FAMILY"],
  [EAI_MEMORY, "EAI_MEMORY"],
  [EAI_NODATA, "EAI_NODATA"],
  [EAI_NONAME, "EAI_NONAME"],
  [EAI_OVERFLOW, "EAI_OVERFLOW"],
  [EAI_SERVICE, "EAI_SERVICE"],
  [EAI_SOCKTYPE, "EAI_SOCKTYPE"],
]);

/** The error for a status of the resolver: an EAI_ code, or the errno behind EAI_SYSTEM. */
function resolverError(question: Question<unknown>, status: number, errno: number): SocketError {
  const { calls, syscall, details } = question;
  if (status === EAI_SYSTEM) return socketError(-errno, syscall, details);
  const cause = new Error(calls.gaiStrerror(status));
  return new SocketError(names.get(status) ?? `EAI_${-status}`, status, syscall, { ...details, cause });
}

/** One question to the resolver. */
export interface Question<T> {
  readonly calls: Calls;
  readonly syscall: string;
  /** What an error says was asked for. */
  readonly details: SocketErrorDetails | undefined;
  /** What is asked: questions with the same one have the same answer. */
  readonly key: string;
  /** Returns the lookup's ticket, or -errno. */
  readonly start: (done: ResolverCallback<T>) => number;
  readonly now: () => ResolverAnswer<T> | number;
}

export function addrinfoQuestion(
  calls: Calls,
  host: string | null,
  service: string | null,
  family: number,
  type: number,
  protocol: number,
  flags: number,
): Question<readonly AddrinfoEntry[]> {
  const name = host === null ? null : asciiHost(host);
  return {
    calls,
    syscall: "getaddrinfo",
    details: aboutHost(host),
    key: JSON.stringify(["getaddrinfo", name, service, family, type, protocol, flags]),
    start: (done) => calls.getaddrinfo(name, service, family, type, protocol, flags, done),
    now: () => calls.getaddrinfoSync(name, service, family, type, protocol, flags),
  };
}

/** `address` is the bytes of a sockaddr. */
export function nameinfoQuestion(calls: Calls, address: Uint8Array, flags: number): Question<HostAndService> {
  return {
    calls,
    syscall: "getnameinfo",
    details: addressDetails(decodeAddress(address)),
    key: JSON.stringify(["getnameinfo", [...address], flags]),
    start: (done) => calls.getnameinfo(address, flags, done),
    now: () => calls.getnameinfoSync(address, flags),
  };
}

export function hostByNameQuestion(calls: Calls, host: string, family: number): Question<HostEntry> {
  const name = asciiHost(host);
  return {
    calls,
    syscall: "gethostbyname",
    details: aboutHost(host),
    key: JSON.stringify(["gethostbyname", name, family]),
    start: (done) => calls.gethostbyname(name, family, done),
    now: () => calls.gethostbynameSync(name, family),
  };
}

/** `bytes` are those of an IPv4 or IPv6 address; `about` is its text. */
export function hostByAddrQuestion(
  calls: Calls,
  bytes: Uint8Array,
  family: number,
  about: string,
): Question<HostEntry> {
  return {
    calls,
    syscall: "gethostbyaddr",
    details: aboutHost(about),
    key: JSON.stringify(["gethostbyaddr", [...bytes], family]),
    start: (done) => calls.gethostbyaddr(bytes, family, done),
    now: () => calls.gethostbyaddrSync(bytes, family),
  };
}

/** What an error says of a host: nothing of none, and nothing of an empty name, which would not show. */
export function aboutHost(host: string | null | undefined): SocketErrorDetails | undefined {
  return host === null || host === undefined || host === "" ? undefined : { address: host };
}

/** The form that the DNS knows an international name by: UTS 46. An IPv6 address may have such a name as its zone. */
function asciiHost(host: string): string {
  if (/^[\0-\x7f]*$/.test(host) || host.includes(":")) return host;
  const ascii = domainToASCII(host);
  if (ascii === "") throw new TypeError(`Cannot look up ${quote(host)}: it is not a host name`);
  if (ascii.length > HOST_BYTES) {
    throw new RangeError(`Cannot look up ${quote(host)}: it has ${ascii.length} bytes in ASCII, required at most 253`);
  }
  return ascii;
}

/** A result that is waited for. After `cancel()` the result never settles; a cancelled lookup makes no error. */
export interface Pending<T> {
  readonly result: Promise<T>;
  readonly cancel: () => void;
}

/** A lookup and the calls that wait for its answer. */
class Flight {
  readonly #calls: Calls;
  readonly #flights: Map<string, Flight>;
  readonly #key: string;
  readonly #waiting = new Set<ResolverCallback<unknown>>();
  #ticket = 0;

  constructor(calls: Calls, flights: Map<string, Flight>, key: string) {
    this.#calls = calls;
    this.#flights = flights;
    this.#key = key;
  }

  start(question: Question<unknown>): void {
    this.#flights.set(this.#key, this);
    try {
      const result = question.start((...answer) => {
        this.#forget();
        for (const done of this.#waiting) done(...answer);
        this.#waiting.clear();
      });
      this.#ticket = check(result, question.syscall);
    } catch (error) {
      this.#forget();
      throw error;
    }
  }

  /** False when the lookup was abandoned and is gone. */
  join(done: ResolverCallback<unknown>): boolean {
    if (this.#waiting.size === 0 && this.#ticket !== 0 && this.#calls.resumeLookup(this.#ticket) < 0) return false;
    this.#waiting.add(done);
    return true;
  }

  leave(done: ResolverCallback<unknown>): void {
    if (!this.#waiting.delete(done) || this.#waiting.size > 0) return;
    if (this.#calls.abandonLookup(this.#ticket) !== 1) this.#forget();
  }

  #forget(): void {
    if (this.#flights.get(this.#key) === this) this.#flights.delete(this.#key);
  }
}

const inFlight = new WeakMap<Calls, Map<string, Flight>>();

/** Takes part in a lookup: in one that is under way, or in a new one. */
function fly(question: Question<unknown>, done: ResolverCallback<unknown>): Flight {
  const { calls, key } = question;
  let flights = inFlight.get(calls);
  if (flights === undefined) inFlight.set(calls, (flights = new Map()));
  const known = flights.get(key);
  if (known?.join(done) === true) return known;
  const flight = new Flight(calls, flights, key);
  flight.join(done);
  flight.start(question);
  return flight;
}

/** Asks on a thread of the resolver. */
function ask<T>(question: Question<T>): Pending<T> {
  let cancel!: () => void;
  const result = new Promise<T>((resolve, reject) => {
    const done: ResolverCallback<unknown> = (status, errno, answer) => {
      if (status === 0 && answer !== null) resolve(answer as T);
      else reject(resolverError(question, status, errno));
    };
    const flight = fly(question, done);
    cancel = () => flight.leave(done);
  });
  // What the promise's executor throws rejects it, and then there is nothing to cancel.
  return { result, cancel: () => cancel?.() };
}

/** Asks, and blocks this thread until there is an answer. */
export function askNow<T>(question: Question<T>): T {
  const result = question.now();
  if (typeof result === "number") throw socketError(result, question.syscall);
  const [status, errno, answer] = result;
  if (status === 0 && answer !== null) return answer;
  throw resolverError(question, status, errno);
}

/** Yields questions, is sent their answers, and returns what they lead to. */
export type Inquiry<T> = Generator<Question<unknown>, T, unknown>;

/** The answer to one question, inside an inquiry: `yield* answerTo(question)`. */
export function* answerTo<T>(question: Question<T>): Inquiry<T> {
  return (yield question) as T;
}

/** Asks the questions of an inquiry one after the other, each on a thread of the resolver. */
export function inquire<T>(inquiry: Inquiry<T>): Pending<T> {
  let current: Pending<unknown> | undefined;
  let cancelled = false;
  const cancel = (): void => {
    cancelled = true;
    current?.cancel();
  };
  const conduct = async (): Promise<T> => {
    let step = inquiry.next();
    while (step.done !== true) {
      let answer: unknown;
      try {
        current = ask(step.value);
        // An answer may be on its way here already.
        if (cancelled) current.cancel();
        answer = await current.result;
      } catch (error) {
        step = inquiry.throw(error);
        continue;
      }
      step = inquiry.next(answer);
    }
    return step.value;
  };
  return { result: conduct(), cancel };
}

/** The same, blocking this thread. */
export function inquireNow<T>(inquiry: Inquiry<T>): T {
  let step = inquiry.next();
  while (step.done !== true) {
    let answer: unknown;
    try {
      answer = askNow(step.value);
    } catch (error) {
      step = inquiry.throw(error);
      continue;
    }
    step = inquiry.next(answer);
  }
  return step.value;
}
