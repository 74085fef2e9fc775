// Code for examples that are both programs and modules: whether Node.js runs this module, and running it until Ctrl-C.

import { realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { ListenAddress } from "berkeley";

/** Whether the module with this `import.meta.url` is the program that Node.js runs. */
export function isProgram(url: string): boolean {
  const [, script] = process.argv;
  return script !== undefined && realpathSync(script) === fileURLToPath(url);
}

/** The members that the example servers have in common. */
interface Running {
  readonly address: ListenAddress;
  close(): Promise<void>;
}

/** Prints the address of the server, and closes the server on Ctrl-C. */
export function untilInterrupted(server: Running): void {
  console.log(`listening on ${String(server.address)}`);
  process.once("SIGINT", () => void server.close());
}
