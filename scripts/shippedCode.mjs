// Changes the code that Rolldown has written: breaks its lines, shortens its re-exports, and removes from the source
// maps what neither a stack trace nor a debugger needs.
import { encode } from "@jridgewell/sourcemap-codec";
import { parseAst } from "rolldown/parseAst";

/**
 * Keeps the first of the segments in a line that refer to the same line of a source. That is enough for a stack trace
 * and for a breakpoint, and all segments would be a tenth of the package. The kept segments have no names and refer to
 * the first column, because the sources in the map are not indented.
 */
function oneForEachLine(lines) {
  return lines.map((segments) =>
    segments
      .filter((segment, index) => {
        const before = segments[index - 1];
        return before === undefined || before[1] !== segment[1] || before[2] !== segment[2];
      })
      .map(([column, source, line]) => (source === undefined ? [column] : [column, source, line, 0])),
  );
}

/**
 * The text of a source in the map. Each line keeps its number, but not its indentation. Lines without code are empty:
 * comments, types, imports.
 */
function onlyCode(source, mapped) {
  const lines = source.split("\n").map((line, index) => (mapped.has(index) ? line.trim() : ""));
  return lines.join("\n").replace(/\n+$/, "\n");
}

/** The table of constants is left out of the maps: seven hundred lines of `export const NAME = …`. */
const isTable = (source) => source.endsWith("/src/sys/constants.ts");

/** A source map without the parts that the package does not ship. */
export function thinMap(map) {
  const kept = map.sources.map((_, index) => index).filter((index) => !isTable(map.sources[index]));
  const newIndex = new Map(kept.map((index, place) => [index, place]));
  const mapped = map.sources.map(() => new Set());
  for (const [, source, line] of map.mappings.flat()) mapped[source]?.add(line);
  const mappings = oneForEachLine(map.mappings).map((segments) =>
    segments.map(([column, source, ...place]) =>
      newIndex.has(source) ? [column, newIndex.get(source), ...place] : [column],
    ),
  );
  return {
    ...map,
    sources: kept.map((index) => map.sources[index]),
    sourcesContent: kept.map((index) => onlyCode(map.sourcesContent[index], mapped[index])),
    names: [],
    mappings: encode(mappings),
  };
}

/** A line that is longer than this ends before the next statement. */
const LINE_LENGTH = 100;

/**
 * The offsets at which lines of a chunk begin: functions and classes of the top level, members of a class, and the
 * statement after a long line. Node.js prints the line of code that throws, so a chunk of one line would fill the
 * terminal.
 */
function lineStarts(code) {
  const starts = new Set();
  const places = [];
  const visit = (node, inBlock) => {
    if (node === null || typeof node !== "object") return;
    if (Array.isArray(node)) {
      for (const one of node) visit(one, inBlock);
      return;
    }
    if (inBlock && typeof node.start === "number") {
      const named = /^(?:Function|Class|Export\w*)Declaration$|^(?:MethodDefinition|PropertyDefinition|StaticBlock)$/;
      places.push({ at: node.start, always: named.test(node.type) });
    }
    for (const [key, value] of Object.entries(node)) {
      if (key !== "type" && key !== "parent")
        visit(value, (key === "body" || key === "declarations") && Array.isArray(value));
    }
  };
  visit(parseAst(code), false);
  let begin = 0;
  for (const { at, always } of places.toSorted((a, b) => a.at - b.at)) {
    const previous = code.lastIndexOf("\n", at - 1) + 1;
    begin = Math.max(begin, previous);
    if (at === begin || (!always && at - begin < LINE_LENGTH)) continue;
    starts.add(at);
    begin = at;
  }
  return [...starts];
}

/** Breaks the lines of code at `lineStarts()`. Returns the code, and the mappings for it. */
export function withLines(code, mappings) {
  const starts = lineStarts(code);
  const lines = [];
  let next = 0;
  let offset = 0;
  const source = code.split("\n");
  for (const [index, text] of source.entries()) {
    const end = offset + text.length;
    const columns = [];
    for (; next < starts.length && starts[next] <= end; next += 1) columns.push(starts[next] - offset);
    const segments = mappings?.[index] ?? [];
    const edges = [0, ...columns, Infinity];
    for (let part = 0; part + 1 < edges.length; part += 1) {
      const [from, to] = [edges[part], edges[part + 1]];
      const own = segments.filter(([column]) => column >= from && column < to);
      lines.push({
        text: text.slice(from, to),
        segments: own.map(([column, ...rest]) => [column - from, ...rest]),
      });
    }
    offset = end + 1;
  }
  return { code: lines.map(({ text }) => text).join("\n"), mappings: lines.map(({ segments }) => segments) };
}

const specifierText = (from, to) => (from === to ? from : `${from} as ${to}`);

/**
 * The changes that make one statement, `export {a} from "…"`, of an import and an export of a name that the file does
 * not use otherwise: [[start, end, text], ...]. They make an entry a tenth smaller, because it re-exports the
 * constants.
 */
export function joinReexports(code, lang) {
  const { body } = parseAst(code, { lang });
  const imports = body.filter(({ type, specifiers }) => type === "ImportDeclaration" && specifiers.length > 0);
  const exports = body.filter(({ type, declaration, source }) => {
    return type === "ExportNamedDeclaration" && !declaration && !source;
  });
  let rest = code;
  for (const { start, end } of [...imports, ...exports].toSorted((a, b) => b.start - a.start)) {
    rest = `${rest.slice(0, start)} ${rest.slice(end)}`;
  }
  const used = new Set(rest.match(/[\w$]+/g));
  const exported = new Map(
    exports.flatMap(({ specifiers }) => specifiers.map((one) => [one.local.name, one.exported.name])),
  );
  /** The names whose export is now a part of the import. */
  const joined = new Set();
  const changes = [];
  for (const { start, end, specifiers, source } of imports) {
    if (specifiers.some(({ type }) => type !== "ImportSpecifier")) continue;
    const isReexport = ({ local }) => exported.has(local.name) && !used.has(local.name);
    const reexports = specifiers.filter(isReexport);
    if (reexports.length === 0) continue;
    const kept = specifiers.filter((one) => !isReexport(one));
    for (const { local } of reexports) joined.add(local.name);
    const importTexts = kept.map(({ imported, local }) => specifierText(imported.name, local.name));
    const exportTexts = reexports.map(({ imported, local }) => specifierText(imported.name, exported.get(local.name)));
    const from = `from${JSON.stringify(source.value)};`;
    const importText = importTexts.length > 0 ? `import{${importTexts}}${from}` : "";
    changes.push([start, end, `${importText}export{${exportTexts}}${from}`]);
  }
  for (const { start, end, specifiers } of exports) {
    const kept = specifiers.filter(({ local }) => !joined.has(local.name));
    if (kept.length === specifiers.length) continue;
    const texts = kept.map(({ local, exported: { name } }) => specifierText(local.name, name));
    changes.push([start, end, kept.length > 0 ? `export{${texts}};` : ""]);
  }
  return changes.toSorted((a, b) => a[0] - b[0]);
}

/** Makes changes to code, each within a line. Returns the code, and the mappings for it. */
export function changed(code, mappings, changes) {
  let text = code;
  const lines = mappings?.map((segments) => [...segments]);
  for (const [start, end, by] of changes.toReversed()) {
    text = text.slice(0, start) + by + text.slice(end);
    const before = code.slice(0, start).split("\n");
    const [line, column, length] = [before.length - 1, before.at(-1).length, end - start];
    if (lines?.[line] === undefined) continue;
    lines[line] = lines[line]
      .filter(([at]) => at <= column || at >= column + length)
      .map(([at, ...rest]) => [at > column ? at + by.length - length : at, ...rest]);
  }
  return { code: text, mappings: lines };
}
