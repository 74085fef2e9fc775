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
  /** `reason` of the {@link AddonError}. */
  readonly reason: AddonError["reason"];
  /** For the message, if possible in the form `NAME is VALUE, required WHAT`. */
  readonly text: string;
}

/** Returns why no addon can work on this platform, or undefined if one can. */
export function platformFault({ platform, arch }: Host): Fault | undefined {
  if (platform !== "linux") {
    return { reason: "platform", text: `the platform is ${platform}-${arch}, required linux` };
  }
  return undefined;
}

/** The C library of a dynamic loader (`interpreter`, as ELF calls it); undefined without one. */
export function libcOf(interpreter: string | undefined): Libc | undefined {
  if (interpreter === undefined) return undefined;
  return /(^|\/)ld-musl-/.test(interpreter) ? "musl" : "glibc";
}

/** The headers of a program and the name of its dynamic loader are in its first bytes. */
const HEAD_BYTES = 4096;

/** The dynamic loader that the headers of a program name. */
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
 * The C library of this process: that of the dynamic loader in the headers of the program. Undefined if the program
 * can't be read or has no dynamic loader. `process.report` has the C library too, but takes milliseconds to create.
 */
export function currentLibc(): Libc | undefined {
  // /proc/self/exe can be read even after the program's file was replaced or removed. execPath is for systems without
  // /proc.
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
