// The line of the program that called the package: the first frame of the stack that is neither of this package nor of
// Node.

/** The maximum number of frames that V8 captures. About a dozen of them may be of this package. */
const MAX_FRAMES = 40;

/** The folder of the package's JavaScript: dist/, or out/lib in development. */
const folder = ownFolder();

function ownFolder(): string {
  // Undefined in a CommonJS bundle. The package and the program are one file there, so no frame counts as ours.
  const url = import.meta.url as string | undefined;
  if (url === undefined) return "";
  const end = url.lastIndexOf("/dist/");
  if (end >= 0) return url.slice(0, end + "/dist/".length);
  // The folder that contains registry/, or this file alone if a bundler has moved the code elsewhere.
  const own = "/registry/callerLine.js";
  return url.endsWith(own) ? url.slice(0, -own.length + 1) : url;
}

/** Matches the position at the end of a line of a stack: `file:///a/b.js:10:5` or `/a/b.js:10:5`. */
const POSITION = /\(?((?:file:\/\/)?[^\s()][^()]*:\d+:\d+)\)?$/;

/**
 * The file, line and column of the program that called. Undefined if no frame of the stack is of the program, because
 * an event of the reactor or of a timer began the call. V8 includes async functions that await the running one.
 */
export function callerLine(): string | undefined {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = MAX_FRAMES;
  const { stack } = new Error();
  Error.stackTraceLimit = stackTraceLimit;
  if (typeof stack !== "string") return undefined;
  for (const frame of stack.split("\n").slice(1)) {
    const position = POSITION.exec(frame.trim().replace(/^at (?:async )?/, ""))?.[1];
    if (position === undefined || position.includes("node:") || isOurs(position)) continue;
    return intern(position.startsWith("file://") ? pathOf(position) : position);
  }
  return undefined;
}

/** The lines that were found. Each is in memory once, even if many calls have it. */
const lines = new Map<string, string>();
/** The map is cleared when it has this many lines, because a program that generates code may have any number. */
const MAX_LINES = 4096;

function intern(line: string): string {
  const known = lines.get(line);
  if (known !== undefined) return known;
  if (lines.size >= MAX_LINES) lines.clear();
  // A copy, because V8 keeps the whole stack in memory as long as a part of its string is used.
  const copy = Buffer.from(line).toString();
  lines.set(copy, copy);
  return copy;
}

const ownPath = pathOf(folder);

function isOurs(position: string): boolean {
  return position.startsWith(folder) || position.startsWith(ownPath);
}

function pathOf(url: string): string {
  const path = url.replace(/^file:\/\//, "");
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
