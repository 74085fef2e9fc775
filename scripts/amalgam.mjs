// Joins the sources of the addon, so that the package ships two C files without comments.
//
// The files of native/ follow each other in the order of their names. The text of a header of ours replaces the first
// #include of that header. So the names of `static` functions and of macros must be unique in all of native/.
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

/** Removes block comments from C code, and empty lines. Strings in quotes do not change. */
const withoutComments = (text) =>
  text
    .replace(/"(?:\\.|[^"\\\n])*"|\/\*[^]*?\*\//g, (found) => (found.startsWith('"') ? found : ""))
    .replace(/[ \t]+$/gm, "")
    .replace(/\n{2,}/g, "\n")
    .trimStart();

/**
 * The C files of the package, made from a folder: [name, content]. The table of constants has a file of its own,
 * because it includes headers of the kernel that conflict with those of the C library.
 */
export function amalgam(folder) {
  const sources = readdirSync(folder).filter((name) => name.endsWith(".c"));
  const expand = (name, seen) =>
    withoutComments(readFileSync(join(folder, name), "utf8")).replace(/^#include "([^"]+)"\n/gm, (_, header) => {
      if (seen.has(header)) return "";
      seen.add(header);
      return expand(header, seen);
    });
  const together = (names) => {
    const seen = new Set();
    return names.map((name) => expand(name, seen)).join("");
  };
  return [
    ["constants.c", together(["constants.c"])],
    ["berkeley.c", together(sources.toSorted().filter((name) => name !== "constants.c"))],
  ];
}
