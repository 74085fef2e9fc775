// Transformations of data: line ends, whole lines, hexadecimal dumps.

const LF = 0x0a;
const CR = 0x0d;
const CRLF = Buffer.from("\r\n");

/** When this many bytes of a line are stored, they are sent before the rest of the line. */
const MAX_LINE = 1 << 20;

/** Number of bytes in a row of a hexadecimal dump. */
const ROW_SIZE = 16;
/** Columns of half a row: 8 numbers of 2 digits, with spaces between them. */
const HALF_ROW_WIDTH = 23;

/** Changes bytes before they are sent. */
export interface Transform {
  /** Returns the changed bytes. Stores bytes whose result depends on the next bytes. */
  write(bytes: Buffer): Buffer[];
  /** Returns the result of the stored bytes. */
  end(): Buffer[];
}

/** Replaces LF by CR LF, except after a CR. */
export class Crlf implements Transform {
  /** The last byte of the previous write(). */
  #lastByte = 0;

  write(bytes: Buffer): Buffer[] {
    const parts: Buffer[] = [];
    let from = 0;
    for (let at = bytes.indexOf(LF); at >= 0; at = bytes.indexOf(LF, at + 1)) {
      const before = at === 0 ? this.#lastByte : bytes[at - 1];
      if (before === CR) continue;
      parts.push(bytes.subarray(from, at), CRLF);
      from = at + 1;
    }
    this.#lastByte = bytes.at(-1) ?? this.#lastByte;
    return [Buffer.concat([...parts, bytes.subarray(from)])];
  }

  end(): Buffer[] {
    return [];
  }
}

/** Returns each line as one piece; a line that is longer than MAX_LINE, in several pieces. */
export class Lines implements Transform {
  /** The parts of a line whose end is missing, and their number of bytes. */
  #kept: Buffer[] = [];
  #keptBytes = 0;

  write(bytes: Buffer): Buffer[] {
    const lines: Buffer[] = [];
    let from = 0;
    for (let at = bytes.indexOf(LF); at >= 0; at = bytes.indexOf(LF, from)) {
      lines.push(Buffer.concat([...this.#takeKept(), bytes.subarray(from, at + 1)]));
      from = at + 1;
    }
    if (from < bytes.length) {
      // Copied, because the source reuses its buffer.
      this.#kept.push(Buffer.from(bytes.subarray(from)));
      this.#keptBytes += bytes.length - from;
      if (this.#keptBytes >= MAX_LINE) lines.push(Buffer.concat(this.#takeKept()));
    }
    return lines;
  }

  end(): Buffer[] {
    return this.#keptBytes === 0 ? [] : [Buffer.concat(this.#takeKept())];
  }

  /** Removes the kept parts, and returns them. */
  #takeKept(): Buffer[] {
    const kept = this.#kept;
    this.#kept = [];
    this.#keptBytes = 0;
    return kept;
  }
}

/** Formats bytes as rows of hexadecimal numbers and text, with their offset: `< 00000010 68 65 … |he…|`. */
export class HexDump {
  readonly #mark: string;
  #offset = 0;

  /** @param mark the beginning of each row: `<` for received bytes, `>` for sent ones */
  constructor(mark: string) {
    this.#mark = mark;
  }

  rows(bytes: Uint8Array): string[] {
    const rows: string[] = [];
    for (let at = 0; at < bytes.length; at += ROW_SIZE) {
      const part = bytes.subarray(at, at + ROW_SIZE);
      const hex = Array.from(part, (byte) => byte.toString(16).padStart(2, "0"));
      const halves = [hex.slice(0, ROW_SIZE / 2), hex.slice(ROW_SIZE / 2)];
      const columns = halves.map((half) => half.join(" ").padEnd(HALF_ROW_WIDTH));
      const shown = Array.from(part, (byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "."));
      rows.push(
        `${this.#mark} ${(this.#offset + at).toString(16).padStart(8, "0")}  ${columns.join("  ")}  ` +
          `|${shown.join("")}|`,
      );
    }
    this.#offset += bytes.length;
    return rows;
  }
}

/** Bytes as a field of an object: `text` if they are UTF-8, otherwise `base64`. */
export function dataField(bytes: Uint8Array): { readonly text: string } | { readonly base64: string } {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  try {
    return { text: new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(buffer) };
  } catch {
    return { base64: buffer.toString("base64") };
  }
}
