// The line of the program that called the package: the first frame of the stack that is neither ours nor Node's.

/** Frames of a stack to look at. A call of a program passes through a dozen functions of ours at most. */
const MAX_FRAMES = 40;

/** The folder of the package's JavaScript: dist/, or out/lib in development. */
const folder = ownFolder();

function ownFolder(): string {
  // Undefined in a bundle of CommonJS. All frames are in that one file then, so no frame is known to be the program's.
  const url = import.meta.url as string | undefined;
  if (url === undefined) return "";
  const end = url.lastIndexOf("/dist/");
  if (end >= 0) return url.slice(0, end + "/dist/".length);
  // Two folders up from registry/callerLine.js. A bundler may have moved the code elsewhere.
  const own = "/registry/callerLine.js";
  return url.endsWith(own) ? url.slice(0, -own.length + 1) : url;
}

/** The position at the end of a line of a stack: `file:///a/b.js:10:5` or `/a/b.js:10:5`. */
const POSITION = /\(?((?:file:\/\/)?[^\s()][^()]*:\d+:\d+)\)?$/;

/**
 * File, line and column; undefined if the stack has no frame of the program: a call that another event began. V8 adds
 * the frames of the async functions that wait for the call.
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
    return interned(position.startsWith("file://") ? pathOf(position) : position);
  }
  return undefined;
}

/** Lines that were found. A part of a string keeps the whole string, here a stack, so each line is held once. */
const lines = new Map<string, string>();
const MOST_LINES = 4096;

function interned(line: string): string {
  const known = lines.get(line);
  if (known !== undefined) return known;
  if (lines.size >= MOST_LINES) lines.clear();
  // A copy, without the stack.
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
