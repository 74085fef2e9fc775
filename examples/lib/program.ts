// What the examples share that are programs and modules: is this one the program, and run it until Ctrl-C.

import { realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { ListenAddress } from "berkeley";

/** Whether the module with this `import.meta.url` is what Node was told to run. */
export function isProgram(url: string): boolean {
  const [, script] = process.argv;
  return script !== undefined && realpathSync(script) === fileURLToPath(url);
}

/** A server as the examples have them. */
interface Running {
  readonly address: ListenAddress;
  close(): Promise<void>;
}

/** Says where the server listens, and closes it on Ctrl-C. */
export function untilInterrupted(server: Running): void {
  console.log(`listening on ${String(server.address)}`);
  process.once("SIGINT", () => void server.close());
}
