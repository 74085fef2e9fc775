// Reads the parts of an ELF file that the loader checks before dlopen(3). See elf(5).
//
// dlopen(3) does not compare the headers of a file with its length: if the file is truncated, SIGBUS ends the process.
// dlopen(3) also runs the initialisation code of the file, whatever the file is. So the loader passes a file to
// dlopen(3) only if its headers match its length and the file contains our mark.

/** The value of `process.arch` for each machine number of ELF (e_machine). */
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

/** "\x7fELF", the first four bytes of an ELF file. */
const MAGIC = 0x7f454c46;
/** ET_DYN, a type of file (e_type). */
const SHARED_OBJECT = 3;
/** PT_INTERP, a type of segment (p_type). */
const INTERPRETER = 3;

/** The parts of the headers of an ELF file that the loader uses. */
export interface Elf {
  /** As in `process.arch`, or `machine N` for a machine number that is not in {@link MACHINES}. */
  readonly arch: string;
  /** True for a library or an addon. False for every program, even a position-independent one. */
  readonly sharedObject: boolean;
  /** The dynamic loader of a program: `/lib64/ld-linux-x86-64.so.2`, `/lib/ld-musl-x86_64.so.1`. */
  readonly interpreter: string | undefined;
  /** The length of the file according to its headers. A shorter file is truncated. Infinity if headers are missing. */
  readonly end: number;
}

/**
 * Reads the headers at the start of a file. Returns undefined for a file that is not ELF. `end` is Infinity if `head`
 * does not contain all headers.
 */
export function parseElf(head: Buffer): Elf | undefined {
  if (head.length < 4 || head.readUInt32BE(0) !== MAGIC) return undefined;
  // ELFCLASS64 and ELFDATA2LSB of elf(5).
  const is64 = head[4] === 2;
  const isLittleEndian = head[5] === 1;
  const headerSize = is64 ? 64 : 52;
  const incomplete: Elf = { arch: "unknown", sharedObject: false, interpreter: undefined, end: Infinity };
  if (head.length < headerSize) return incomplete;

  const u16 = (at: number): number => (isLittleEndian ? head.readUInt16LE(at) : head.readUInt16BE(at));
  const u32 = (at: number): number => (isLittleEndian ? head.readUInt32LE(at) : head.readUInt32BE(at));
  /** An offset or a size. It has 64 bits in a 64-bit file. A rounded value above 2^53 is still longer than any file. */
  const word = (at: number): number =>
    is64 ? Number(isLittleEndian ? head.readBigUInt64LE(at) : head.readBigUInt64BE(at)) : u32(at);

  // Each pair of numbers below has the offset of a field, or a size, in a 64-bit file and in a 32-bit file.
  const type = u16(16);
  const machine = u16(18);
  const arch = MACHINES[machine] ?? `machine ${machine}`;
  const segments = { at: word(is64 ? 32 : 28), size: u16(is64 ? 54 : 42), count: u16(is64 ? 56 : 44) };
  const sections = { at: word(is64 ? 40 : 32), size: u16(is64 ? 58 : 46), count: u16(is64 ? 60 : 48) };
  let end = Math.max(headerSize, sections.count === 0 ? 0 : sections.at + sections.size * sections.count);
  let interpreter: string | undefined;
  for (let i = 0; i < segments.count; i++) {
    const at = segments.at + i * segments.size;
    const segmentHeaderSize = is64 ? 56 : 32;
    if (at + segmentHeaderSize > head.length) return { ...incomplete, arch };
    const segmentType = u32(at);
    const offset = word(at + (is64 ? 8 : 4));
    const length = word(at + (is64 ? 32 : 16));
    end = Math.max(end, offset + length);
    if (segmentType !== INTERPRETER) continue;
    interpreter = head.toString("latin1", offset, offset + length).replace(/\0.*$/s, "");
  }
  return { arch, sharedObject: type === SHARED_OBJECT && interpreter === undefined, interpreter, end };
}

/** The mark that native/addon.c puts into every build of our addon. */
const MARK = "berkeley-addon ";

/** The version and the C library in the mark; undefined if the file has no mark, like the addon of another package. */
export function parseMark(file: Buffer): { readonly version: string; readonly libc: string } | undefined {
  const at = file.indexOf(MARK, 0, "latin1");
  if (at < 0) return undefined;
  const [version, libc] = file
    .toString("latin1", at + MARK.length, at + MARK.length + 100)
    .split("\0", 1)[0]!
    .split(" ");
  return version === undefined || libc === undefined ? undefined : { version, libc };
}
