// Where the package runs: the platform and the C library. The runtime is a matter of sys/runtime.ts.

import { fs } from "../../builtins.js";
import type { AddonError } from "../../errors/index.js";
import { parseElf } from "./elf.js";

/** What `process` says of the machine. */
export interface Host {
  readonly platform: string;
  readonly arch: string;
}

export type Libc = "glibc" | "musl";

/** Why something can't be used: what it is, and what is required. */
export interface Fault {
  /** Why it fails, for programs. */
  readonly reason: AddonError["reason"];
  /** `NAME is VALUE, required WHAT`. */
  readonly text: string;
}

/** Why no addon can work here, or undefined. */
export function unsupported({ platform, arch }: Host): Fault | undefined {
  if (platform !== "linux") {
    return { reason: "platform", text: `the platform is ${platform}-${arch}, required linux` };
  }
  return undefined;
}

/** The C library that brings this dynamic loader. */
export function libcOf(interpreter: string | undefined): Libc | undefined {
  if (interpreter === undefined) return undefined;
  return /(^|\/)ld-musl-/.test(interpreter) ? "musl" : "glibc";
}

/** The program's headers lie in its first bytes, and the name of its dynamic loader right behind them. */
const HEAD = 4096;

function interpreterOf(program: string): string | undefined {
  const head = Buffer.alloc(HEAD);
  const fd = fs().openSync(program, "r");
  try {
    return parseElf(head.subarray(0, fs().readSync(fd, head, 0, HEAD, 0)))?.interpreter;
  } finally {
    fs().closeSync(fd);
  }
}

/**
 * The C library of this process, by the dynamic loader that its program names; undefined when the program can't be read or
 * names none. It reads one block of one file: `process.report` collects everything else as well, and takes milliseconds.
 */
export function currentLibc(): Libc | undefined {
  // The link is right even when the program was replaced or removed; without /proc there is the path.
  for (const program of ["/proc/self/exe", process.execPath]) {
    try {
      const interpreter = interpreterOf(program);
      if (interpreter !== undefined) return libcOf(interpreter);
    } catch {
      // The next one may be readable.
    }
  }
  return undefined;
}
