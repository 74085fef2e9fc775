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
  readonly source: string;
}

/** Codes for an option that sockets of this kind do not have, or that can't be read: getsockopt(2). */
const NOT_OF_THIS_KIND: ReadonlySet<string> = new Set(["ENOPROTOOPT", "EOPNOTSUPP"]);

export function isSupported({ error }: OptionRow): boolean {
  return error === undefined || !NOT_OF_THIS_KIND.has(error);
}

/** All options of the library, in the order of level and number. */
export async function readOptions(socket: Socket): Promise<OptionRow[]> {
  return [...(await socketOptions())]
    .toSorted(([, a], [, b]) => a.level - b.level || a.optname - b.optname)
    .map(([name, option]) => {
      const source = sourceOf(name);
      try {
        return { name, value: plain(socket.getsockopt(option)), source };
      } catch (error) {
        if (!(error instanceof SocketError)) throw error;
        return { name, error: error.code, source };
      }
    });
}

/** Converts a value to one of JSON: bytes become hexadecimal text, and an error its message. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Error) return value.message;
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, plain(field)]));
}

/** The value on one line. */
export function valueText({ value, error }: OptionRow): string {
  if (error !== undefined) return error;
  if (value === "") return '""';
  return typeof value === "string" ? value : inspect(value, { breakLength: Infinity, compact: true, sorted: false });
}
