// The platform and the C library of this process. sys/runtime.ts detects the runtime.

import { fs } from "../../builtins.js";
import type { AddonError } from "../../errors/index.js";
import { parseElf } from "./elf.js";

/** The members of `process` that describe the machine. */
export interface Host {
  readonly platform: string;
  readonly arch: string;
}

export type Libc = "glibc" | "musl";

/** Why a file or a platform can't be used. */
export interface Fault {
  /** The reason as a code, for programs. */
  readonly reason: AddonError["reason"];
  /** `NAME is VALUE, required WHAT`. */
  readonly text: string;
}

/** Why no addon can work on this platform, or undefined. */
export function platformFault({ platform, arch }: Host): Fault | undefined {
  if (platform !== "linux") {
    return { reason: "platform", text: `the platform is ${platform}-${arch}, required linux` };
  }
  return undefined;
}

/** The C library that a dynamic loader belongs to. */
export function libcOf(interpreter: string | undefined): Libc | undefined {
  if (interpreter === undefined) return undefined;
  return /(^|\/)ld-musl-/.test(interpreter) ? "musl" : "glibc";
}

/** The headers of a program and the name of its dynamic loader are in its first bytes. */
const HEAD_BYTES = 4096;

function interpreterOf(program: string): string | undefined {
  const head = Buffer.alloc(HEAD_BYTES);
  const fd = fs().openSync(program, "r");
  try {
    return parseElf(head.subarray(0, fs().readSync(fd, head, 0, HEAD_BYTES, 0)))?.interpreter;
  } finally {
    fs().closeSync(fd);
  }
}

/**
 * The C library of this process, from the dynamic loader that its program names; undefined when the program can't be
 * read or names none. This reads one block of one file. `process.report` has the C library too, but collects much more
 * and takes milliseconds.
 */
export function currentLibc(): Libc | undefined {
  // The link works even when the program was replaced or removed. Without /proc only the path is left.
  for (const program of ["/proc/self/exe", process.execPath]) {
    try {
      const interpreter = interpreterOf(program);
      if (interpreter !== undefined) return libcOf(interpreter);
    } catch {
      // The next program may be readable.
    }
  }
  return undefined;
}
