// The capability table of docs/options.md as data, and the options as they are exported.
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import * as berkeley from "berkeley";
import type { SocketOption } from "berkeley";

const root = fileURLToPath(new URL("../../..", import.meta.url));

/** Any option: tests set and read them by name, without their types. */
export type AnyOption = SocketOption<unknown, unknown>;

export interface Row {
  readonly name: string;
  /** The names of its levels, as in the heading. */
  readonly levels: readonly string[];
  /** Types, as TypeScript writes them; "never" where the kernel has no such direction. */
  readonly get: string;
  readonly set: string;
  /** The kernel that brought it, such as "2.6.32". */
  readonly since: string;
  /** Empty for none. */
  readonly privilege: string;
}

/** The rows of the table, in order. */
export function documented(): Row[] {
  const text = readFileSync(`${root}/docs/options.md`, "utf8");
  const table = text.slice(text.indexOf("\n## The table\n"), text.indexOf("\n## By number only\n"));
  const rows: Row[] = [];
  let levels: string[] = [];
  for (const line of table.split("\n")) {
    if (line.startsWith("### ")) levels = line.slice(4).split(" or ");
    if (!line.startsWith("| `")) continue;
    const cells = line
      .split(/(?<!\\)\|/)
      .slice(1, -1)
      .map((cell) => cell.trim());
    const [name = "", get = "", set = "", since = "", privilege = ""] = cells;
    rows.push({
      name: name.slice(1, -1),
      levels,
      get: typeIn(get),
      set: typeIn(set),
      since,
      privilege: privilege === "—" ? "" : privilege,
    });
  }
  return rows;
}

function typeIn(cell: string): string {
  if (cell === "—") return "never";
  return /`(.*?)`/.exec(cell)?.[1]?.replaceAll("\\|", "|") ?? cell;
}

/** The names under "By number only". */
export function leftOut(): string[] {
  const text = readFileSync(`${root}/docs/options.md`, "utf8");
  const rows = text
    .slice(text.indexOf("\n## By number only\n"))
    .split("\n")
    .filter((line) => line.startsWith("| `"));
  return rows.flatMap((line) => [...line.split("|")[1]!.matchAll(/`(\w+)`/g)].map((match) => match[1]!));
}

/** The options that the package exports, by name. */
export function exported(): Map<string, AnyOption> {
  const options = Object.entries(berkeley).filter(
    ([, value]) => typeof value === "object" && value !== null && "optname" in value,
  );
  return new Map(options as [string, AnyOption][]);
}

/** What the declarations say of each option: its types of get and set. */
export function declared(): Map<string, { get: string; set: string }> {
  const folder = `${root}/out/lib/options`;
  const shapes = new Map<string, { get: string; set: string }>();
  for (const file of readdirSync(folder).filter((name) => name.endsWith(".d.ts"))) {
    const text = readFileSync(`${folder}/${file}`, "utf8").replace(/\s+/g, " ");
    for (const [, name = "", type = ""] of text.matchAll(
      /export declare const (\w+): (SocketOption<.*?>|\w+Option);/g,
    )) {
      shapes.set(name, typesOf(type));
    }
  }
  return shapes;
}

function typesOf(type: string): { get: string; set: string } {
  // Options that are read with a question have their type of get in `of`.
  if (!type.startsWith("SocketOption<")) return { get: type.replace(/Option$/, ""), set: type.replace(/Option$/, "") };
  const inside = type.slice("SocketOption<".length, -1);
  let depth = 0;
  for (let at = 0; at < inside.length; at++) {
    const unit = inside[at]!;
    if ("<{[(".includes(unit)) depth++;
    else if (">}])".includes(unit)) depth--;
    else if (unit === "," && depth === 0) return { get: plain(inside.slice(0, at)), set: plain(inside.slice(at + 1)) };
  }
  throw new Error(`no two types in ${type}`);
}

/** A type as the document writes it: the compiler ends each member with a semicolon. */
function plain(type: string): string {
  return type.trim().replaceAll("; }", " }");
}
