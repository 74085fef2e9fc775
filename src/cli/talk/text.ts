// Transformations of data: line ends, whole lines, hexadecimal dumps.

const LF = 0x0a;
const CR = 0x0d;

/** Changes bytes before they are sent. */
export interface Transform {
  /** Returns the changed bytes. Stores bytes whose result depends on the next bytes. */
  write(bytes: Buffer): Buffer[];
  /** Returns the result of the stored bytes. */
  end(): Buffer[];
}

/** Replaces LF by CR LF, except after a CR. */
export class Crlf implements Transform {
  #last = 0;

  write(bytes: Buffer): Buffer[] {
    const parts: Buffer[] = [];
    let from = 0;
    for (let at = bytes.indexOf(LF); at >= 0; at = bytes.indexOf(LF, at + 1)) {
      const before = at === 0 ? this.#last : bytes[at - 1];
      if (before === CR) continue;
      parts.push(bytes.subarray(from, at), CRLF);
      from = at + 1;
    }
    this.#last = bytes.at(-1) ?? this.#last;
    return [Buffer.concat([...parts, bytes.subarray(from)])];
  }

  end(): Buffer[] {
    return [];
  }
}

const CRLF = Buffer.from("\r\n");

/** When this many bytes of a line are stored, they are sent before the rest of the line. */
const MAX_LINE = 1 << 20;

/** Makes each line a piece of its own. */
export class Lines implements Transform {
  #kept: Buffer[] = [];
  #length = 0;

  write(bytes: Buffer): Buffer[] {
    const lines: Buffer[] = [];
    let from = 0;
    for (let at = bytes.indexOf(LF); at >= 0; at = bytes.indexOf(LF, from)) {
      lines.push(Buffer.concat([...this.#take(), bytes.subarray(from, at + 1)]));
      from = at + 1;
    }
    if (from < bytes.length) {
      // Copied, because the source reuses its buffer.
      this.#kept.push(Buffer.from(bytes.subarray(from)));
      this.#length += bytes.length - from;
      if (this.#length >= MAX_LINE) lines.push(Buffer.concat(this.#take()));
    }
    return lines;
  }

  end(): Buffer[] {
    return this.#length === 0 ? [] : [Buffer.concat(this.#take())];
  }

  #take(): Buffer[] {
    const kept = this.#kept;
    this.#kept = [];
    this.#length = 0;
    return kept;
  }
}

const ROW = 16;

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
    for (let at = 0; at < bytes.length; at += ROW) {
      const part = bytes.subarray(at, at + ROW);
      const hex = Array.from(part, (byte) => byte.toString(16).padStart(2, "0"));
      const columns = [hex.slice(0, ROW / 2).join(" "), hex.slice(ROW / 2).join(" ")].map((half) => half.padEnd(23));
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
