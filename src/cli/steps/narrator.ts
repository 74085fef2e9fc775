// Who called what, what it returned, what the kernel says: one line for each call where there is room for it, or with --json an
// object.

import type { Output, Style } from "../frame/output.js";

const WHO = 13;
const CODE = 50;
const RETURNED = 36;
const INDENT = "   ";
/** What a line takes at most; a terminal that has less gets the parts below each other. */
const WIDE = INDENT.length + WHO + CODE + RETURNED + 57;

function styleOf(who: string): Style {
  return who === "server" ? "cyan" : who === "client" ? "magenta" : "yellow";
}

export class Narrator {
  readonly output: Output;
  readonly #wide: boolean;

  constructor(output: Output) {
    this.output = output;
    this.#wide = output.columns >= WIDE;
  }

  /** What the narration is about. */
  title(text: string): void {
    if (!this.output.json) this.output.line(this.output.style("bold", text));
  }

  /** An empty line. */
  gap(): void {
    if (!this.output.json) this.output.line();
  }

  /** The names of the columns. */
  heading(): void {
    if (!this.#wide || this.output.json) return;
    this.output.line();
    const text = `${INDENT}${"who".padEnd(WHO)}${"call".padEnd(CODE)}${"returned".padEnd(RETURNED)}the kernel says`;
    this.output.line(this.output.style("dim", text));
  }

  /** The title of one of the steps. */
  step(number: number, name: string, meaning: string): void {
    const { output } = this;
    if (output.json) return output.object({ event: "step", number, name, meaning });
    output.line();
    output.line(output.style("bold", `${number}  ${name.padEnd(8)}`) + output.style("dim", meaning));
  }

  /** A call. `views`: what the kernel says of the sockets that it concerns. */
  call(who: string, code: string, returned: string, views: readonly string[] = [], failed: boolean = false): void {
    const { output } = this;
    if (output.json) return output.object({ event: "call", who, code, returned, kernel: views, failed });
    const name = output.style(styleOf(who), who.padEnd(WHO));
    const result = (text: string): string => output.style(failed ? "red" : "green", text);
    if (!this.#wide) {
      output.line(`${INDENT}${name}${code}`);
      const under = `${INDENT}${" ".repeat(WHO)}  `;
      output.line(`${under}${output.style("dim", "returned")}  ${result(returned)}`);
      for (const view of views) output.line(`${under}${output.style("dim", "kernel")}    ${view}`);
      return;
    }
    const before = `${INDENT}${name}${column(code, CODE)}`;
    if (views.length === 0) return output.line(`${before}${result(returned)}`);
    output.line(`${before}${result(column(returned, RETURNED))}${views[0]}`);
    const under = " ".repeat(INDENT.length + WHO + CODE + RETURNED);
    for (const view of views.slice(1)) output.line(`${under}${view}`);
  }

  /** A remark between the calls. */
  note(text: string): void {
    if (this.output.json) return this.output.object({ event: "note", text });
    this.output.line(`${INDENT}${this.output.style("yellow", text)}`);
  }
}

/** At least two spaces stay between a text and the next column. */
function column(text: string, width: number): string {
  return `${text.padEnd(width - 2)}  `;
}
