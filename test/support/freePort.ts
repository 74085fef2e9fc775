// A free port, for programs that need the number of their port before they bind it.

import { Socket } from "berkeley";

/** A port of 127.0.0.1 that is free now. Another program may bind it before the caller does. */
export async function freePort(): Promise<number> {
  using probe = new Socket();
  await probe.bind(["127.0.0.1", 0]);
  return probe.getsockname().port;
}
