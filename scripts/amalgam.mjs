// The sources of the addon as the package has them: one file without comments, for a build from source.
//
// The files of native/ follow each other in the order of their names. A header of ours stands where the first file
// includes it. Names of `static` functions and of macros are therefore different in all of native/.
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

/** C without its comments: block comments and lines that begin with two slashes. Texts in quotes stay. */
const withoutComments = (text) =>
  text
    .replace(/"(?:\\.|[^"\\\n])*"|\/\*[^]*?\*\//g, (found) => (found.startsWith('"') ? found : ""))
    .replace(/[ \t]+$/gm, "")
    .replace(/\n{2,}/g, "\n")
    .trimStart();

/**
 * The files of a folder as the package has them: [name, content]. The table of constants stays a file, because the
 * headers of the kernel that it includes contradict those of the C library.
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
