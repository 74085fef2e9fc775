// The error classes of the command line, the line that is printed for an error, and its exit status.

import { getSystemErrorMap } from "node:util";

import { escapeLine } from "./escape.js";

/** Success. A server that Ctrl-C has ended has this status too. */
export const EXIT_SUCCESS = 0;
/** An error of the network, the peer or the kernel. */
export const EXIT_FAILURE = 1;
/** The command line is wrong, or one of its files can't be used. */
export const EXIT_USAGE = 2;

/** The statuses of every command, for help and man pages. */
export const EXIT_STATUS: readonly (readonly [status: string, about: string])[] = [
  ["0", "all went well; a server was ended by Ctrl-C"],
  ["1", "a failure of the network, the peer or the kernel: a refused connection, a timeout, an unknown host"],
  ["2", "a wrong command line, or a file that it names and that can't be used"],
  ["130", "Ctrl-C ended a command that was not finished; 143 after SIGTERM, 129 after SIGHUP"],
];

/** A mistake in the command line: one line on stderr, and status 2. */
export class UsageError extends Error {}

/** A failure with a message of the command: one line on stderr, and status 1. */
export class Failure extends Error {}

/** The abort reason after SIGINT (Ctrl-C), SIGTERM or SIGHUP. It is not printed. */
export class InterruptedError extends Error {
  readonly signalNumber: number;

  constructor(signalName: string, signalNumber: number) {
    super(`ended by ${signalName}`);
    this.signalNumber = signalNumber;
  }
}

/** The meanings of the codes of getaddrinfo(3). */
const MEANINGS: Readonly<Record<string, string>> = {
  EAI_NONAME: "no such host",
  EAI_NODATA: "the host has no address",
  EAI_ADDRFAMILY: "the host has no address of this family",
  EAI_AGAIN: "no name server answers; try again later",
  EAI_FAIL: "the name server reports a failure",
};

interface ErrorWithCode extends Error {
  readonly code?: unknown;
  readonly errno?: unknown;
  readonly syscall?: unknown;
  readonly address?: unknown;
  readonly port?: unknown;
  readonly path?: unknown;
}

/** `: ` and the meaning of an error's code. Empty if the code has no meaning, or if the message contains it. */
function meaningOf({ code, errno, message }: ErrorWithCode): string {
  if (typeof code !== "string") return "";
  // Most errors have their meaning after a colon: `connect ECONNREFUSED 127.0.0.1:9: connection refused`.
  const hasMeaning = message.includes(": ");
  const systemMeaning = typeof errno === "number" && !hasMeaning ? getSystemErrorMap().get(errno)?.[1] : undefined;
  const meaning = MEANINGS[code] ?? systemMeaning;
  return meaning === undefined || message.includes(meaning) ? "" : `: ${meaning}`;
}

/** Whether a user or the system can have caused the error. Otherwise it is a bug, and its stack is printed. */
function isExpected(error: ErrorWithCode): boolean {
  return error instanceof UsageError || error instanceof Failure || typeof error.code === "string";
}

/** The printed text of an error: one line, or the stack if the error is a bug. */
export function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (!isExpected(error)) return error.stack ?? error.message;
  // A message can contain text of the peer, so it is escaped.
  return escapeLine(`${error.message}${meaningOf(error)}`.replaceAll(/\s*\n\s*/g, " "));
}

/** The exit status of a command that has failed with this error. */
export function statusOf(error: unknown): number {
  if (error instanceof InterruptedError) return 128 + error.signalNumber;
  return error instanceof UsageError ? EXIT_USAGE : EXIT_FAILURE;
}

/** An error as an object for programs: `{"error": {...}, "status": 1}`. */
export function toJson(error: unknown): object {
  const { code, syscall, address, port, path } = (error instanceof Error ? error : {}) as ErrorWithCode;
  return { error: { message: explain(error), code, syscall, address, port, path }, status: statusOf(error) };
}
