// Reads all options of a socket from the kernel.

import { inspect } from "node:util";

import { type Socket, SocketError } from "berkeley";

import { socketOptions } from "../frame/socketOptions.js";
import { sourceOf } from "./sources.js";

export interface OptionRow {
  readonly name: string;
  /** The decoded result of getsockopt(2); bytes are in hexadecimal. */
  readonly value?: unknown;
  /** The error code of getsockopt(2). */
  readonly error?: string;
  /** The documentation of the option. */
  readonly source: string;
}

/** Error codes of getsockopt(2) for an option that sockets of this kind do not have, or that can't be read. */
const UNSUPPORTED: ReadonlySet<string> = new Set(["ENOPROTOOPT", "EOPNOTSUPP"]);

/** Whether sockets of this kind have the option, and it can be read. */
export function isSupported({ error }: OptionRow): boolean {
  return error === undefined || !UNSUPPORTED.has(error);
}

/** All options of the library, in the order of level and number. */
export async function readOptions(socket: Socket): Promise<OptionRow[]> {
  return [...(await socketOptions())]
    .toSorted(([, a], [, b]) => a.level - b.level || a.optname - b.optname)
    .map(([name, option]) => {
      const source = sourceOf(name);
      try {
        return { name, value: toPlain(socket.getsockopt(option)), source };
      } catch (error) {
        if (!(error instanceof SocketError)) throw error;
        return { name, error: error.code, source };
      }
    });
}

/** Converts a value for JSON: bytes become hexadecimal text, and an error becomes its message. */
function toPlain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (Array.isArray(value)) return value.map(toPlain);
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Error) return value.message;
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, toPlain(field)]));
}

/** The value, or the error code in its place, on one line. */
export function valueText({ value, error }: OptionRow): string {
  if (error !== undefined) return error;
  if (value === "") return '""';
  return typeof value === "string" ? value : inspect(value, { breakLength: Infinity, compact: true, sorted: false });
}
