// Prints each call: the caller, the code, the result, and the state in the kernel. On a wide terminal a call has one
// line, otherwise several. With --json a call is an object.

import type { Output, Style } from "../frame/output.js";

/** The widths of the columns. */
const CALLER_WIDTH = 13;
const CODE_WIDTH = 50;
const RETURNED_WIDTH = 36;
const STATE_WIDTH = 57;
const INDENT = "   ";
/** The width of a line with all columns. On a narrower terminal the parts of a call are printed below each other. */
const LINE_WIDTH = INDENT.length + CALLER_WIDTH + CODE_WIDTH + RETURNED_WIDTH + STATE_WIDTH;

function styleOf(caller: string): Style {
  if (caller === "server") return "cyan";
  // Any other caller than server and client is a visitor.
  return caller === "client" ? "magenta" : "yellow";
}

export class Narrator {
  readonly output: Output;
  readonly #isWide: boolean;

  constructor(output: Output) {
    this.output = output;
    this.#isWide = output.columns >= LINE_WIDTH;
  }

  /** Prints the title of the output. */
  title(text: string): void {
    if (!this.output.json) this.output.line(this.output.style("bold", text));
  }

  /** Prints an empty line. */
  gap(): void {
    if (!this.output.json) this.output.line();
  }

  /** Prints the names of the columns. */
  heading(): void {
    if (!this.#isWide || this.output.json) return;
    this.output.line();
    const text =
      `${INDENT}${"who".padEnd(CALLER_WIDTH)}${"call".padEnd(CODE_WIDTH)}` +
      `${"returned".padEnd(RETURNED_WIDTH)}the kernel says`;
    this.output.line(this.output.style("dim", text));
  }

  /** Prints the title of a step. */
  step(number: number, name: string, meaning: string): void {
    const { output } = this;
    if (output.json) return output.object({ event: "step", number, name, meaning });
    output.line();
    output.line(output.style("bold", `${number}  ${name.padEnd(8)}`) + output.style("dim", meaning));
  }

  /** Prints a call. `views` has the state of each socket that the call changes, as the kernel reports it. */
  call(
    caller: string,
    code: string,
    returned: string,
    views: readonly string[] = [],
    { failed = false }: { readonly failed?: boolean } = {},
  ): void {
    const { output } = this;
    if (output.json) return output.object({ event: "call", who: caller, code, returned, kernel: views, failed });
    const name = output.style(styleOf(caller), caller.padEnd(CALLER_WIDTH));
    const result = (text: string): string => output.style(failed ? "red" : "green", text);
    if (!this.#isWide) {
      output.line(`${INDENT}${name}${code}`);
      const indent = `${INDENT}${" ".repeat(CALLER_WIDTH)}  `;
      output.line(`${indent}${output.style("dim", "returned")}  ${result(returned)}`);
      for (const view of views) output.line(`${indent}${output.style("dim", "kernel")}    ${view}`);
      return;
    }
    const before = `${INDENT}${name}${column(code, CODE_WIDTH)}`;
    if (views.length === 0) return output.line(`${before}${result(returned)}`);
    output.line(`${before}${result(column(returned, RETURNED_WIDTH))}${views[0]}`);
    // Further states are printed below the first one, in the same column.
    const indent = " ".repeat(INDENT.length + CALLER_WIDTH + CODE_WIDTH + RETURNED_WIDTH);
    for (const view of views.slice(1)) output.line(`${indent}${view}`);
  }

  /** Prints a remark between the calls. */
  note(text: string): void {
    if (this.output.json) return this.output.object({ event: "note", text });
    this.output.line(`${INDENT}${this.output.style("yellow", text)}`);
  }
}

/** Pads a text to the width of its column. At least two spaces separate it from the next column. */
function column(text: string, width: number): string {
  return `${text.padEnd(width - 2)}  `;
}
