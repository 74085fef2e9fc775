// Questions to the resolver, their errors, and the two ways to ask them: on the thread pool, or blocking this thread.
//
// What takes several questions (the names of the address of a name) is written once, as a generator that yields them; the
// awaitable functions and the blocking ones differ only in who drives it.

import { domainToASCII } from "node:url";

import { quote } from "../addr/index.js";
import { SocketError, type SocketErrorDetails } from "../errors.js";
import type { AddrinfoEntry, Calls, HostAndService, HostEntry, ResolverAnswer, ResolverCallback } from "./calls.js";
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
} from "./constants.js";
import { check, socketError } from "./errno.js";
import { addressDetails, decodeAddress } from "./sockaddr.js";

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

/** Asks on the thread pool. */
export function ask<T>(question: Question<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const result = question.start((status, errno, answer) => {
      if (status === 0 && answer !== null) resolve(answer);
      else reject(resolverError(question, status, errno));
    });
    check(result, question.syscall);
  });
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

export async function inquire<T>(inquiry: Inquiry<T>): Promise<T> {
  let step = inquiry.next();
  while (step.done !== true) {
    let answer: unknown;
    try {
      answer = await ask(step.value);
    } catch (error) {
      step = inquiry.throw(error);
      continue;
    }
    step = inquiry.next(answer);
  }
  return step.value;
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
