// The form of an error in events. It has a file of its own, because connect() and listen() use it, and must not load
// the code of servers.

import type { EventError } from "./serverEvents.js";

/** The name, the message and the code of an error, for an event. */
export function plainError(error: unknown): EventError {
  try {
    const { code, message, name } = (error ?? {}) as { code?: unknown; message?: unknown; name?: unknown };
    const text = error instanceof Error ? String(message) : String(error);
    const plain = { name: typeof name === "string" ? name : typeof error, message: text };
    return typeof code === "string" ? { ...plain, code } : plain;
  } catch {
    // The value can't be converted to text, for example because it has no prototype.
    return { name: typeof error, message: "" };
  }
}
