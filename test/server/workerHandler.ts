// The module that the tests of serveWorkers() load in the workers. Each line that a client sends is a command.

import { existsSync } from "node:fs";
import { parentPort } from "node:worker_threads";
import type { Stream } from "berkeley";
import type { ConnectionContext } from "berkeley/server";

/** What the tests pass as `data`. */
export interface HandlerData {
  /** While this file exists, workers do not start. */
  readonly broken?: string;
  /** Printed by the function that `setup` returns. */
  readonly farewell?: string;
}

let me = 0;

export function setup({ worker, data }: { readonly worker: number; readonly data: unknown }): (() => void) | undefined {
  me = worker;
  const { broken, farewell } = (data ?? {}) as HandlerData;
  if (broken !== undefined && existsSync(broken)) throw Object.assign(new Error("still broken"), { code: "EBROKEN" });
  return farewell === undefined ? undefined : () => console.log(farewell, worker);
}

async function answer(line: string, stream: Stream, context: ConnectionContext): Promise<string> {
  switch (line) {
    case "who":
      return `${me} ${context.id}`;
    case "ends":
      return `${String(context.peer)} ${String(context.local)}`;
    case "client":
      return `${String(context.client)} ${String(context.peer)} ${String(context.proxyHeader?.tlvs.length)}`;
    case "send":
      for (const message of ["ready", null, 5, {}, { type: "error" }, { type: "report" }]) {
        if (parentPort === null) process.send!(message);
        // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread is no window
        else parentPort.postMessage(message);
      }
      return "sent";
    case "throw":
      throw Object.assign(new RangeError("of the handler"), { code: "EHANDLER" });
    case "crash":
      setImmediate(() => {
        throw new Error("uncaught");
      });
      return "crashing";
    case "exit":
      return process.exit(3);
    case "spin":
      stream.tryWrite(Buffer.from("spinning\n"));
      for (;;);
    case "grow": {
      const all: unknown[] = [];
      for (;;) all.push(Array.from({ length: 1000 }, Math.random));
    }
    case "draining":
      await stream.write("waiting\n");
      if (!context.draining.aborted) {
        await new Promise((resolve) => context.draining.addEventListener("abort", resolve));
      }
      return "drained";
    case "hold":
      await stream.write("holding\n");
      return new Promise(() => undefined);
    default:
      return line;
  }
}

export default async function handle(stream: Stream, context: ConnectionContext): Promise<void> {
  for await (const line of stream.lines()) await stream.write(`${await answer(line, stream, context)}\n`);
}
