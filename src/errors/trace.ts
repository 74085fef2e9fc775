// The stack of an error of this package: short, and with the lines of the program that made the call.
//
// An error of a call that waited is made while the reactor dispatches an event, where no function of the program is on
// the stack. V8 can still find the `await` of the program: it follows the promise of the running microtask through the
// reactions that wait for it. So a call that fails captures a second stack in such a microtask; see wait/rejection.ts.
//
// Frames of this package and of Node's own scripts are left out of the text, unless nothing else is there. The text is
// made when `stack` is read for the first time.

/** Captured frames. V8 makes their text when `stack` is read. */
export interface Frames {
  readonly name: string;
  readonly message: string;
  stack?: unknown;
}

/** Frames of this package that may precede those of the program. */
const OWN_FRAMES = 24;
/** Of how many frames the text consists if no limit is known. */
const DEFAULT_LIMIT = 10;

/** The frames that were captured when the error was made, and each time that a waiting call rejected with it. */
export interface Trace {
  readonly made: Frames | undefined;
  readonly rejected: Frames[];
}

/** Promises of this package that an error passes on its way to the program. */
const MAX_REJECTED = 4;

/** The folders of the files of the package; none in a bundle. */
const ownFolders: readonly string[] = foldersOf(import.meta.url);

function foldersOf(url: string | undefined): readonly string[] {
  // The compiled files and the files of dist/. In a bundle the same file has code of the program.
  const lib = /^(?:file:\/\/)?(.*\/)(?:out\/lib\/errors\/trace|dist\/chunks\/base)\.js(?:\?.*)?$/.exec(url ?? "")?.[1];
  // With source maps the frames lead to src/.
  return lib === undefined ? [] : [`${lib}out/lib/`, `${lib}dist/`, `${lib}src/`];
}

function isForeign(frame: string): boolean {
  return !frame.includes("node:internal/") && !ownFolders.some((folder) => frame.includes(folder));
}

/** Sets the limit of V8 for the next stacks, and returns the one before. A program may have frozen it. */
export function setStackLimit(limit: number | undefined): number | undefined {
  const before = Error.stackTraceLimit as number | undefined;
  try {
    Error.stackTraceLimit = limit as number;
  } catch {
    // The limit stays as it is.
  }
  return before;
}

/** Captures the frames that have led here; none if the program has switched stacks off. */
function capture(): Frames | undefined {
  const limit: unknown = Error.stackTraceLimit;
  if (typeof limit !== "number" || limit <= 0 || typeof Error.captureStackTrace !== "function") return undefined;
  const frames: Frames = { name: "", message: "" };
  setStackLimit(limit + OWN_FRAMES);
  Error.captureStackTrace(frames, capture);
  setStackLimit(limit);
  return frames;
}

/** The lines of captured frames; none if `Error.prepareStackTrace` of the program made something else of them. */
function linesOf({ stack }: Frames): string[] {
  if (typeof stack !== "string") return [];
  return stack.split("\n").filter((line) => line.startsWith("    at ") && !line.includes("new Promise (<anonymous>)"));
}

/** The text of `stack`. */
export function stackText(error: Error, { made, rejected }: Trace): string {
  const limit: unknown = Error.stackTraceLimit;
  const most = typeof limit === "number" ? limit : DEFAULT_LIMIT;
  // The last one is the nearest to the program.
  for (const frames of [...rejected.toReversed(), made]) {
    if (frames === undefined) continue;
    const foreign = linesOf(frames).filter(isForeign);
    if (foreign.length > 0) return [String(error), ...foreign.slice(0, most)].join("\n");
  }
  return [String(error), ...(made === undefined ? [] : linesOf(made)).slice(0, most)].join("\n");
}

/** The trace of a new error. */
export function newTrace(): Trace {
  return { made: capture(), rejected: [] };
}

/** Whether an error can still get the stack of a call that rejects with it. */
export function takesFrames({ made, rejected }: Trace): boolean {
  return made !== undefined && rejected.length < MAX_REJECTED;
}

/** Adds the frames that have led here. They precede those of earlier captures in the text. */
export function addFrames({ rejected }: Trace): void {
  const frames = capture();
  if (frames !== undefined) rejected.push(frames);
}
