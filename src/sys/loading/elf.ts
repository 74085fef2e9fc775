// The few facts of an ELF file that the loader checks before dlopen(3) may see the file. See elf(5).
//
// dlopen(3) trusts the headers of a file: the process dies of SIGBUS in it when a file was cut off. It also runs the code of
// whatever addon it is given. So a file is only handed over when its headers fit it and it carries our mark.

/** Machines by their number, under the names of `process.arch`. */
const machines: Readonly<Record<number, string>> = {
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

/** What an ELF file says of itself. */
export interface Elf {
  /** As `process.arch`, or the machine's number when it has no name here. */
  readonly arch: string;
  /** A library or an addon; a program is none, also a position-independent one. */
  readonly sharedObject: boolean;
  /** The program's dynamic loader: `/lib64/ld-linux-x86-64.so.2`, `/lib/ld-musl-x86_64.so.1`. */
  readonly interpreter: string | undefined;
  /** Length of the file by its headers; a shorter file was cut off. */
  readonly end: number;
}

/**
 * Reads the headers at the start of a file. Returns undefined for what is no ELF file.
 *
 * `end` is Infinity when `head` has not even all headers.
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
  // Offsets above 2^53 are none that a file has; to take them for too large ones is right.
  const long = (at: number): number =>
    wide ? Number(little ? head.readBigUInt64LE(at) : head.readBigUInt64BE(at)) : word(at);

  const machine = half(18);
  const arch = machines[machine] ?? `machine ${machine}`;
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

/** Our mark: native/addon.c puts it into every build. */
const MARK = "berkeley-addon ";

/** What a build of ours says of itself; undefined for the addon of another package. */
export function parseMark(file: Buffer): { readonly version: string; readonly libc: string } | undefined {
  const at = file.indexOf(MARK, 0, "latin1");
  if (at < 0) return undefined;
  const [version, libc] = file
    .toString("latin1", at + MARK.length, at + MARK.length + 100)
    .split("\0", 1)[0]!
    .split(" ");
  return version === undefined || libc === undefined ? undefined : { version, libc };
}
