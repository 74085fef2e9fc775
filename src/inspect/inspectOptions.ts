// The options of the inspector: their check, and their form in the environment for `node --import berkeley/inspect`.

import { checkOptions, integer, quote } from "../check/index.js";
import type { Redact } from "./socketDetail.js";

/** Options of {@link startInspector}. */
export interface InspectorOptions {
  /** The port of the page, on 127.0.0.1. Default 0, a free one. */
  readonly port?: number | undefined;
  /**
   * Serves no page, and writes the updates of the table as JSON lines: to a file, to which they are appended, or to a
   * descriptor.
   */
  readonly headless?: string | number | undefined;
  /**
   * Keeps the first bytes of each call that moves data, for the page of the socket: at most this number of bytes, or
   * 256 for true. Default false.
   */
  readonly payloads?: boolean | number | undefined;
  /**
   * Gets the payload of a call before it is shown, and returns the bytes to show, or null to show none. If it throws,
   * the payload is left out, and the process emits a warning (`ERR_CALLBACK`).
   */
  readonly redact?: Redact | undefined;
  /** Writes the data that TCP, UDP and UNIX sockets send and receive to this file, in the format pcapng. */
  readonly record?: string | undefined;
  /**
   * Maximum number of records of calls that move data, for all sockets of a thread together; at least 64. The other
   * calls have half as many records in addition. Older records are dropped and counted. Default 16384.
   */
  readonly calls?: number | undefined;
  /** A send queue that has not moved for this time (ms) is reported as stalled. Default 5000. */
  readonly stalledAfter?: number | undefined;
  /** A socket that has moved no byte for this time (ms) is reported as idle. Default 300000. */
  readonly idleAfter?: number | undefined;
  /**
   * A socket is reported as a leak if its peer closed this time (ms) ago, and no call waits on the socket. Also
   * reported are sockets that one line of the program made, if at least 16 of them are open, have no waiting call, and
   * have moved nothing for this time. The inspector itself closes no socket. Default 10000.
   */
  readonly closeAfter?: number | undefined;
}

/** The options, checked and with their defaults. */
export interface InspectorSettings {
  readonly port: number;
  readonly headless: string | number | undefined;
  /** `payloads` as a number of bytes. */
  readonly maxPayload: number;
  readonly redact: Redact | undefined;
  readonly record: string | undefined;
  /** The option `calls`. */
  readonly maxRecords: number;
  readonly stalledAfter: number;
  readonly idleAfter: number;
  readonly closeAfter: number;
}

const ACTION = "start the inspector";
const NAMES = ["port", "headless", "payloads", "redact", "record", "calls", "stalledAfter", "idleAfter", "closeAfter"];
const DEFAULT_PAYLOAD = 256;
const MAX_PAYLOAD = 65_536;
const MAX_RECORDS = 1 << 22;
/** The largest int of C. */
const MAX_DESCRIPTOR = 0x7fff_ffff;
/** A day in milliseconds. */
const DAY = 86_400_000;

function checkFileName(value: unknown, name: string, required: string): string | undefined {
  if (value === undefined) return undefined;
  if (typeof value === "string" && value !== "") return value;
  throw new TypeError(`Cannot ${ACTION}: ${name} is ${quote(value)}, required ${required}`);
}

/** Checks the options, and adds their defaults. */
export function readSettings(opts: InspectorOptions): InspectorSettings {
  checkOptions(opts, ACTION, NAMES);
  const { headless, payloads = false, redact } = opts;
  const readInteger = (name: keyof InspectorOptions, byDefault: number, min: number, max: number): number =>
    opts[name] === undefined ? byDefault : integer(opts[name], ACTION, name, min, max);
  if (redact !== undefined && typeof redact !== "function") {
    throw new TypeError(`Cannot ${ACTION}: redact is ${quote(redact)}, required a function`);
  }
  let maxPayload = 0;
  if (payloads === true) maxPayload = DEFAULT_PAYLOAD;
  else if (payloads !== false) maxPayload = integer(payloads, ACTION, "payloads", 0, MAX_PAYLOAD);
  return {
    port: readInteger("port", 0, 0, 65_535),
    headless:
      typeof headless === "number"
        ? integer(headless, ACTION, "headless", 0, MAX_DESCRIPTOR)
        : checkFileName(headless, "headless", "a file or a descriptor"),
    maxPayload,
    redact,
    record: checkFileName(opts.record, "record", "the name of a file"),
    maxRecords: readInteger("calls", 16_384, 64, MAX_RECORDS),
    stalledAfter: readInteger("stalledAfter", 5_000, 1, DAY),
    idleAfter: readInteger("idleAfter", 300_000, 1, DAY),
    closeAfter: readInteger("closeAfter", 10_000, 1, DAY),
  };
}

/** Whether the environment turns off the inspector that `--import` requests. */
export function isDisabled(env: NodeJS.ProcessEnv): boolean {
  return ["0", "off", "false", "no"].includes(env["BERKELEY_INSPECT"]?.toLowerCase() ?? "");
}

/** The options in the environment. */
export function optionsFromEnvironment(env: NodeJS.ProcessEnv): InspectorOptions {
  const readNumber = (name: string): number | undefined => {
    const text = env[name];
    if (text === undefined || text === "") return undefined;
    if (/^\d{1,9}$/.test(text)) return Number(text);
    throw new RangeError(`Cannot ${ACTION}: ${name} is ${quote(text)}, required a whole number`);
  };
  const file = env["BERKELEY_INSPECT_FILE"] || undefined;
  const descriptor = /^fd:(\d{1,9})$/.exec(file ?? "")?.[1];
  const payloads = readNumber("BERKELEY_INSPECT_PAYLOADS");
  return {
    port: readNumber("BERKELEY_INSPECT_PORT"),
    headless: descriptor === undefined ? file : Number(descriptor),
    // 0 means `false` here, and 1 means `true`. So the environment cannot request payloads of one byte.
    payloads: payloads === undefined || payloads > 1 ? payloads : payloads === 1,
    record: env["BERKELEY_INSPECT_RECORD"] || undefined,
  };
}

/**
 * Claims the options in the environment for this process. Returns false if a parent process has claimed them: child
 * processes inherit the environment, but must not use the capture file, the port and the descriptor of their parent.
 */
export function claimEnvironment(env: NodeJS.ProcessEnv): boolean {
  const pid = String(process.pid);
  env["BERKELEY_INSPECT_OWNER"] ??= pid;
  return env["BERKELEY_INSPECT_OWNER"] === pid;
}
