// Finds the TypeScript in Markdown and in doc comments, and makes files of it that tsc compiles and Node runs.
//
// A block that begins with "```ts" is compiled and run. A block that begins with "```ts no-run" is only compiled,
// because it would wait for ever or requires something that a test does not have. Blocks in other languages are
// ignored. A comment `// prints: text` in a block means that a line of its standard output is exactly that text.
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

/** A block of TypeScript, and its place. `line` is the number of its first line of code in the document, from 1. */
export interface Snippet {
  readonly path: string;
  readonly line: number;
  readonly code: string;
  readonly run: boolean;
  readonly prints: readonly string[];
}

/**
 * The port that documents use. A file that is run gets a free port instead, so that two runs do not use the same one.
 */
const documentedPort = /\b8888\b/g;

function toSnippet(path: string, line: number, info: string, code: string): Snippet {
  if (info !== "" && info !== "no-run") {
    throw new Error(`${path}:${line - 1}: a block of ts may say no-run, not ${JSON.stringify(info)}`);
  }
  const prints = [...code.matchAll(/\/\/ prints: (.*)$/gm)].map((match) => (match[1] ?? "").trimEnd());
  return { path, line, code, run: info === "", prints };
}

/** Finds the blocks of a Markdown text. `first` is the number of its first line in its file. */
export function snippetsOfMarkdown(path: string, text: string, first = 1): Snippet[] {
  const found: Snippet[] = [];
  let open: { fence: string; indent: number; language: string; info: string; line: number; code: string[] } | undefined;
  for (const [index, line] of text.split("\n").entries()) {
    const fence = /^([ \t]*)(`{3,})\s*(\S*)\s*(.*?)\s*$/.exec(line);
    if (open === undefined) {
      if (fence === null) continue;
      const [, indent = "", ticks = "", language = "", info = ""] = fence;
      open = { fence: ticks, indent: indent.length, language, info, line: first + index + 1, code: [] };
    } else if (fence !== null && fence[2] === open.fence && fence[3] === "") {
      if (open.language === "ts") found.push(toSnippet(path, open.line, open.info, open.code.join("\n")));
      open = undefined;
    } else {
      open.code.push(line.slice(Math.min(open.indent, line.length - line.trimStart().length)));
    }
  }
  if (open !== undefined) throw new Error(`${path}:${open.line - 1}: the block that opens here is not closed`);
  return found;
}

/** Finds the blocks in the doc comments of a TypeScript source. */
export function snippetsOfSource(path: string, text: string): Snippet[] {
  return [...text.matchAll(/^[ \t]*\/\*\*[^]*?\*\//gm)].flatMap((comment) => {
    const first = text.slice(0, comment.index).split("\n").length;
    const prose = comment[0]
      .split("\n")
      .map((line) => line.replace(/^[ \t]*\/?\*+\/?[ \t]?/, ""))
      .join("\n");
    return snippetsOfMarkdown(path, prose, first);
  });
}

/** Finds all blocks in README.md, in docs/ and in the doc comments of src/. `root` is the folder of the project. */
export function findSnippets(root: string): Snippet[] {
  const read = (path: string): string => readFileSync(join(root, path), "utf8");
  const list = (folder: string, ending: string, recursive = true): string[] =>
    readdirSync(join(root, folder), { recursive, encoding: "utf8" })
      .filter((path) => path.endsWith(ending))
      .map((path) => join(folder, path))
      .toSorted();
  return [
    ...[...list(".", "README.md", false), ...list("docs", ".md")].flatMap((path) =>
      snippetsOfMarkdown(path, read(path)),
    ),
    ...list("src", ".ts").flatMap((path) => snippetsOfSource(path, read(path))),
  ];
}

/** The name of a snippet's file, without its extension. It contains the path and the line of the snippet. */
export const fileStem = (snippet: Snippet): string => `${snippet.path.replaceAll("/", "__")}__${snippet.line}`;

/**
 * Makes a module of a snippet. Each line has the same number as in the document, so the line numbers in messages and
 * stacks are those of the document.
 */
export function toModule(snippet: Snippet, port: number): string {
  return `${"\n".repeat(snippet.line - 1)}${withPort(snippet.code, port)}\nexport {};\n`;
}

/** Replaces the documented port in a text by `port`. */
export const withPort = (text: string, port: number): string => text.replace(documentedPort, String(port));

/** Replaces `<file of a snippet>(14,5)` and `<file of a snippet>:14:5` by the path and the line of the document. */
export function toDocumentPlaces(text: string): string {
  return text.replace(
    /(?:file:\/\/)?[^\s"'()]*?([^\s"'()/]+?\.(?:md|ts))__\d+\.ts(?:\((\d+),(\d+)\)|:(\d+):(\d+))?/g,
    (_, name: string, row?: string, column?: string, line?: string, position?: string) => {
      const at = row ?? line;
      return name.replaceAll("__", "/") + (at === undefined ? "" : `:${at}:${column ?? position ?? ""}`);
    },
  );
}
