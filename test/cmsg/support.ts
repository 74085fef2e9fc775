// Replaced calls that only record the descriptors, for descriptors that do not exist.
import type { Calls } from "#berkeley/sys/calls.js";

export interface Recorder {
  readonly calls: Calls;
  readonly closed: number[];
  readonly released: number[];
}

export function recorder(): Recorder {
  const closed: number[] = [];
  const released: number[] = [];
  const calls = {
    close: (fd: number) => {
      closed.push(fd);
      return 0;
    },
    release: (fd: number) => {
      released.push(fd);
      return 0;
    },
  } as unknown as Calls;
  return { calls, closed, released };
}
