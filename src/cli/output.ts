// Lines on standard output, with colours where somebody sees them, until nobody reads any more.

const SGR = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  magenta: [35, 39],
  cyan: [36, 39],
} as const;

export type Style = keyof typeof SGR;

/** Columns of what is no terminal, where lines may be as long as they are. */
const UNLIMITED = Infinity;

export class Output {
  /** Columns of the terminal. */
  readonly columns: number;
  readonly #colours: boolean;
  #gone = false;
  #onGone: (() => void)[] = [];

  constructor() {
    const { stdout, env } = process;
    this.columns = stdout.isTTY ? stdout.columns || 80 : UNLIMITED;
    // https://no-color.org: set and not empty means no colours.
    this.#colours = stdout.isTTY && !env["NO_COLOR"] && env["TERM"] !== "dumb";
    stdout.on("error", () => {
      this.#gone = true;
      for (const told of this.#onGone.splice(0)) told();
    });
  }

  style(style: Style, text: string): string {
    if (!this.#colours || text === "") return text;
    const [on, off] = SGR[style];
    return `\u001b[${on}m${text}\u001b[${off}m`;
  }

  line(text: string = ""): void {
    if (!this.#gone) process.stdout.write(`${text}\n`);
  }

  /** Calls `told` when nobody reads any more: the other end of the pipe was closed. */
  whenGone(told: () => void): void {
    if (this.#gone) told();
    else this.#onGone.push(told);
  }
}

/** Bytes as a text in quotes that can't do anything to a terminal; what is long is cut. */
export function quoteBytes(bytes: Uint8Array, longest: number): string {
  const shown = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, longest)).toString();
  const safe = JSON.stringify(shown).replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`,
  );
  return bytes.length > longest ? `${safe}...` : safe;
}

export function plural(count: number, one: string): string {
  return `${count} ${one}${count === 1 ? "" : "s"}`;
}
