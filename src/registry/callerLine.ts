// The line of the program that called the package: that of the first stack frame whose code belongs neither to this
// package nor to Node.js.

/** The maximum number of frames to capture. About a dozen of them may be of this package. */
const MAX_FRAMES = 40;

/** The folder of the package's JavaScript: dist/, or out/lib in development. */
const ownFolder = findOwnFolder();

function findOwnFolder(): string {
  // `url` is undefined in a CommonJS bundle, where the package and the program are one file. With an empty folder,
  // every frame counts as one of the package, so no line is found.
  const url = import.meta.url as string | undefined;
  if (url === undefined) return "";
  const distAt = url.lastIndexOf("/dist/");
  if (distAt >= 0) return url.slice(0, distAt + "/dist/".length);
  // The folder that contains registry/, or this file alone if a bundler has moved the code elsewhere.
  const thisFile = "registry/callerLine.js";
  return url.endsWith(`/${thisFile}`) ? url.slice(0, -thisFile.length) : url;
}

/** Matches the position at the end of a stack frame: `file:///a/b.js:10:5` or `/a/b.js:10:5`. */
const POSITION = /\(?((?:file:\/\/)?[^\s()][^()]*:\d+:\d+)\)?$/;

/**
 * The file, line and column where the program called the package. The stack also has the async functions that await the
 * running function. Undefined if no frame belongs to the program, for example when a timer of the package began the
 * call.
 */
export function callerLine(): string | undefined {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = MAX_FRAMES;
  const { stack } = new Error();
  Error.stackTraceLimit = stackTraceLimit;
  if (typeof stack !== "string") return undefined;
  for (const frame of stack.split("\n").slice(1)) {
    const position = POSITION.exec(frame.trim().replace(/^at (?:async )?/, ""))?.[1];
    if (position === undefined || position.includes("node:") || isOwn(position)) continue;
    return intern(position.startsWith("file://") ? pathOf(position) : position);
  }
  return undefined;
}

/** The lines that were found. The map keeps one copy of each line, which all calls from that line share. */
const lines = new Map<string, string>();
/** The map is cleared when it has this many lines, because a program that generates code may have too many. */
const MAX_LINES = 4096;

function intern(line: string): string {
  const known = lines.get(line);
  if (known !== undefined) return known;
  if (lines.size >= MAX_LINES) lines.clear();
  // A copy, because V8 keeps the text of the whole stack in memory as long as a part of that text is used.
  const copy = Buffer.from(line).toString();
  lines.set(copy, copy);
  return copy;
}

const ownPath = pathOf(ownFolder);

function isOwn(position: string): boolean {
  return position.startsWith(ownFolder) || position.startsWith(ownPath);
}

/** The path of a file URL; other text is returned unchanged. */
function pathOf(url: string): string {
  const path = url.replace(/^file:\/\//, "");
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
