// The memory of a process, as the kernel counts it.

import { readFile } from "node:fs/promises";

/**
 * Bytes of anonymous memory in RAM: RssAnon of `/proc/PID/status` (proc(5)). Mapped files are excluded, because their
 * size does not depend on the connections.
 */
export async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  const kilobytes = /^RssAnon:\s+(\d+) kB$/m.exec(status)?.[1];
  if (kilobytes === undefined) throw new Error(`/proc/${pid}/status has no RssAnon`);
  return Number(kilobytes) * 1024;
}

/** The hard limit of descriptors. A process that is started here can raise its soft limit to it. */
export async function descriptorLimit(): Promise<number> {
  const limits = await readFile("/proc/self/limits", "utf8");
  const hard = /^Max open files\s+\S+\s+(\S+)/m.exec(limits)?.[1];
  return hard === "unlimited" || hard === undefined ? Infinity : Number(hard);
}
