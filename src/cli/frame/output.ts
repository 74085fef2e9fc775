// The output of a command. Only results go to standard output: lines of text, or with --json one object per line.
// Notes, progress and errors go to standard error.

import { escapeJson, Escaper } from "./escape.js";
import { explain, toJson } from "./failure.js";
import { OutputClosedError, StandardOutput } from "./standardOutput.js";

/** For each style, the numbers that begin and end it in an SGR sequence, the escape sequence of colors. */
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

export interface OutputOptions {
  readonly json?: boolean | undefined;
  readonly color?: "auto" | "always" | "never" | undefined;
  readonly quiet?: boolean | undefined;
  readonly verbose?: boolean | undefined;
}

/** Removes the progress line. */
const CLEAR_LINE = "\r\u001b[K";

export class Output {
  /** Whether results are printed as JSON. */
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
  readonly #hasColors: boolean;
  readonly #stdout: StandardOutput;
  #escaper: Escaper | undefined;
  /** The progress line on the terminal; "" if there is none. */
  #progressLine = "";

  constructor(options: OutputOptions = {}) {
    const { stdout, env } = process;
    this.json = options.json ?? false;
    this.quiet = options.quiet ?? false;
    this.verbose = options.verbose ?? false;
    const { color = "auto" } = options;
    // https://no-color.org: if NO_COLOR is set and not empty, programs print no colors.
    const canShowColors = stdout.isTTY && !env["NO_COLOR"] && env["TERM"] !== "dumb";
    this.#hasColors = !this.json && (color === "always" || (color === "auto" && canShowColors));
    this.#stdout = StandardOutput.get();
  }

  /** The width of the terminal in columns; Infinity if standard output is no terminal. */
  get columns(): number {
    const { stdout } = process;
    return stdout.isTTY ? stdout.columns || 80 : Infinity;
  }

  /** Whether standard output is a terminal. */
  get isTerminal(): boolean {
    return process.stdout.isTTY;
  }

  /** Adds a style to a text, if colors are used. */
  style(style: Style, text: string): string {
    if (!this.#hasColors || text === "") return text;
    const [on, off] = SGR[style];
    return `\u001b[${on}m${text}\u001b[${off}m`;
  }

  /** Prints a line of text. */
  line(text: string = ""): void {
    this.#hideProgress();
    this.#stdout.writeText(`${text}\n`);
  }

  /** Prints an object as one line of JSON, with each bigint as a string. */
  object(value: object): void {
    const replacer = (_: string, field: unknown): unknown => (typeof field === "bigint" ? String(field) : field);
    this.line(escapeJson(JSON.stringify(value, replacer)));
  }

  /** Prints a result: `value` with --json, otherwise `text`. */
  result(value: object, text: () => string): void {
    if (this.json) this.object(value);
    else this.line(text());
  }

  /**
   * Prints a remark on standard error, such as the address of a server. With --json, prints only `value`, on standard
   * output.
   */
  note(text: string, value?: object): void {
    if (this.json && value !== undefined) this.object(value);
    else if (!this.quiet && !this.json) this.#error(`berkeley: ${text}\n`);
  }

  /** Prints a remark as note() does. But without --json, prints it only with --verbose. */
  detail(text: string, value?: object): void {
    if (this.verbose || (this.json && value !== undefined)) this.note(text, value);
  }

  /**
   * Prints an error that does not end the command, such as an error of one connection of a server.
   *
   * @param about the name of the thing that has the error, such as a client
   */
  problem(error: unknown, about: string = ""): void {
    const prefix = about === "" ? "" : `${about}: `;
    this.#error(
      this.json ? `${escapeJson(JSON.stringify(toJson(error)))}\n` : `berkeley: ${prefix}${explain(error)}\n`,
    );
  }

  /**
   * Prints received bytes: unchanged to a pipe or a file, escaped on a terminal. Resolves when they are written.
   *
   * @throws OutputClosedError when standard output is closed
   */
  async data(bytes: Uint8Array): Promise<void> {
    if (!this.isTerminal) return this.#stdout.writeBytes(bytes);
    this.#hideProgress();
    this.#escaper ??= new Escaper();
    return this.#stdout.writeBytes(Buffer.from(this.#escaper.write(bytes)));
  }

  /** Called after the last data(). Prints the bytes of an incomplete character that data() has stored. */
  async endOfData(): Promise<void> {
    const rest = this.#escaper?.end() ?? "";
    if (rest !== "") await this.#stdout.writeBytes(Buffer.from(rest));
  }

  /** Calls `stop` when a write to standard output fails: after `| head -1`, or on a full disk. */
  onOutputClosed(stop: () => void): void {
    this.#stdout.onOutputClosed(stop);
  }

  /** @throws OutputClosedError when a write to standard output has failed */
  throwIfClosed(): void {
    if (this.#stdout.isClosed) throw new OutputClosedError();
  }

  /** Shows `text` as the progress line; "" removes the line. */
  showProgress(text: string): void {
    if (text === this.#progressLine) return;
    if (text === "") this.#hideProgress();
    else process.stderr.write(`${CLEAR_LINE}${text}`);
    this.#progressLine = text;
  }

  #hideProgress(): void {
    if (this.#progressLine === "") return;
    process.stderr.write(CLEAR_LINE);
    this.#progressLine = "";
  }

  #error(text: string): void {
    this.#hideProgress();
    process.stderr.write(text);
  }
}
