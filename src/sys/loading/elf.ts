// Reads the parts of an ELF file that the loader checks before dlopen(3). See elf(5).
//
// dlopen(3) trusts the headers of a file: if a file was cut off, SIGBUS ends the process. It also runs the code of any
// addon. So a file is passed to dlopen(3) only when its headers match its length and it contains our mark.

/** The name in `process.arch` for each machine number of ELF. */
const MACHINES: Readonly<Record<number, string>> = {
  3: "ia32",
  8: "mips",
  20: "ppc",
  21: "ppc64",
  22: "s390x",
  40: "arm",
  62: "x64",
  183: "arm64",
  243: "riscv64",
  258: "loong64",
};

const SHARED_OBJECT = 3;
const INTERPRETER = 3;

/** What the headers of an ELF file say. */
export interface Elf {
  /** As in `process.arch`, or `machine N` for a number without a name here. */
  readonly arch: string;
  /** True for a library or an addon, false for a program, also for a position-independent one. */
  readonly sharedObject: boolean;
  /** The dynamic loader of a program: `/lib64/ld-linux-x86-64.so.2`, `/lib/ld-musl-x86_64.so.1`. */
  readonly interpreter: string | undefined;
  /** The length that the headers describe. A shorter file was cut off. */
  readonly end: number;
}

/**
 * Reads the headers at the start of a file. Returns undefined for a file that is not ELF. `end` is Infinity when `head`
 * does not contain all headers.
 */
export function parseElf(head: Buffer): Elf | undefined {
  if (head.length < 4 || head.readUInt32BE(0) !== 0x7f454c46) return undefined;
  const wide = head[4] === 2;
  const little = head[5] === 1;
  const header = wide ? 64 : 52;
  const short: Elf = { arch: "unknown", sharedObject: false, interpreter: undefined, end: Infinity };
  if (head.length < header) return short;

  const half = (at: number): number => (little ? head.readUInt16LE(at) : head.readUInt16BE(at));
  const word = (at: number): number => (little ? head.readUInt32LE(at) : head.readUInt32BE(at));
  // No file has offsets above 2^53. Rounding them keeps them larger than any file.
  const long = (at: number): number =>
    wide ? Number(little ? head.readBigUInt64LE(at) : head.readBigUInt64BE(at)) : word(at);

  const machine = half(18);
  const arch = MACHINES[machine] ?? `machine ${machine}`;
  const segments = { at: long(wide ? 32 : 28), size: half(wide ? 54 : 42), count: half(wide ? 56 : 44) };
  const sections = { at: long(wide ? 40 : 32), size: half(wide ? 58 : 46), count: half(wide ? 60 : 48) };
  let end = Math.max(header, sections.count === 0 ? 0 : sections.at + sections.size * sections.count);
  let interpreter: string | undefined;
  for (let i = 0; i < segments.count; i++) {
    const at = segments.at + i * segments.size;
    if (at + (wide ? 56 : 32) > head.length) return { ...short, arch };
    const offset = long(at + (wide ? 8 : 4));
    const length = long(at + (wide ? 32 : 16));
    end = Math.max(end, offset + length);
    if (word(at) !== INTERPRETER) continue;
    interpreter = head.toString("latin1", offset, offset + length).replace(/\0.*$/s, "");
  }
  return { arch, sharedObject: half(16) === SHARED_OBJECT && interpreter === undefined, interpreter, end };
}

/** The mark that native/addon.c puts into every build of our addon. */
const MARK = "berkeley-addon ";

/** The version and the C library in the mark; undefined for the addon of another package. */
export function parseMark(file: Buffer): { readonly version: string; readonly libc: string } | undefined {
  const at = file.indexOf(MARK, 0, "latin1");
  if (at < 0) return undefined;
  const [version, libc] = file
    .toString("latin1", at + MARK.length, at + MARK.length + 100)
    .split("\0", 1)[0]!
    .split(" ");
  return version === undefined || libc === undefined ? undefined : { version, libc };
}
