// What becomes of the code that Rolldown has written: it gets lines again, names that a file passes on stand in it once, and the maps
// keep what a stack trace and a debugger need.
import { encode } from "@jridgewell/sourcemap-codec";
import { parseAst } from "rolldown/parseAst";

/**
 * Of the places in a line that lead to the same line of a source, the first one is enough for a stack trace and for a breakpoint. All of
 * them would be a tenth of the package. They have no names, and lead to the first column: the sources are not indented.
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
 * A source as the map carries it: every line keeps its number. Lines of which no code is made are empty (comments, types, imports, of
 * which the declarations and the repository have the text), and the others are not indented.
 */
function onlyCode(source, mapped) {
  const lines = source.split("\n").map((line, index) => (mapped.has(index) ? line.trim() : ""));
  return lines.join("\n").replace(/\n+$/, "\n");
}

/** Seven hundred lines that differ only in a name: no debugger needs their text, so the chunk stands for it. */
const isTable = (source) => source.endsWith("/src/sys/constants.ts");

/** A map as it is shipped. */
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

/** From this column on a line of shipped code ends before the next statement. */
const LINE = 100;

/**
 * The places of a chunk where a line begins: each function and class of the top level, each member of a class, and a statement of a
 * block when its line is long. Node.js prints the line of code that throws, so a chunk of one line would fill the terminal.
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
    if (at === begin || (!always && at - begin < LINE)) continue;
    starts.add(at);
    begin = at;
  }
  return [...starts];
}

/** Code with lines that begin at these places, and the mappings of the code moved there. */
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
 * The changes to a file after which a name that it only passes on is named once, as `export {a} from "…"`, and not in an import and in
 * an export: [[start, end, text], ...]. The names of the constants would be a tenth of an entry.
 */
export function passNames(code, lang) {
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
  const passed = new Set();
  const changes = [];
  for (const { start, end, specifiers, source } of imports) {
    if (specifiers.some(({ type }) => type !== "ImportSpecifier")) continue;
    const passes = ({ local }) => exported.has(local.name) && !used.has(local.name);
    const on = specifiers.filter(passes);
    if (on.length === 0) continue;
    const kept = specifiers.filter((one) => !passes(one));
    for (const { local } of on) passed.add(local.name);
    const own = kept.map(({ imported, local }) => specifierText(imported.name, local.name));
    const others = on.map(({ imported, local }) => specifierText(imported.name, exported.get(local.name)));
    const from = `from${JSON.stringify(source.value)};`;
    changes.push([start, end, `${own.length > 0 ? `import{${own}}${from}` : ""}export{${others}}${from}`]);
  }
  for (const { start, end, specifiers } of exports) {
    const kept = specifiers.filter(({ local }) => !passed.has(local.name));
    if (kept.length === specifiers.length) continue;
    const own = kept.map(({ local, exported: { name } }) => specifierText(local.name, name));
    changes.push([start, end, kept.length > 0 ? `export{${own}};` : ""]);
  }
  return changes.toSorted((a, b) => a[0] - b[0]);
}

/** Code with the changes, each of which is within a line, and the mappings moved with the code. */
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
