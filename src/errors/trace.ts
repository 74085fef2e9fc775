// The stack of an error of this package. It is short and has the lines of the program that made the call.
//
// The error of a call that waited is made while the reactor dispatches an event. Then no function of the program is on
// the stack. In a microtask, V8 can find the `await` of the program: V8 follows the promises that wait for the promise
// of the microtask. So a call that fails captures a second stack in such a microtask; see wait/rejection.ts.
//
// The text of `stack` omits frames of this package and of Node, unless there are no others. It is made when `stack` is
// read for the first time.

/** Captured frames: the object that `Error.captureStackTrace()` gets. V8 makes the text when `stack` is read. */
export interface Frames {
  readonly name: string;
  readonly message: string;
  stack?: unknown;
}

/**
 * The number of frames that are captured in addition to `Error.stackTraceLimit`, because the text omits the frames of
 * this package, which come first.
 */
const OWN_FRAMES = 24;
/** The number of frames in the text if `Error.stackTraceLimit` is not a number. V8 has the same default. */
const DEFAULT_LIMIT = 10;

/** The frames of an error. */
export interface Trace {
  /** Captured when the error was made. */
  readonly made: Frames | undefined;
  /** Captured each time that a waiting call rejected with the error. */
  readonly rejected: Frames[];
}

/** Maximum number of entries of `rejected`. An error passes few promises of this package on its way to the program. */
const MAX_REJECTED = 4;

/** The folders of the files of the package; none in a bundle, whose file has code of the program too. */
const ownFolders: readonly string[] = foldersOf(import.meta.url);

function foldersOf(url: string | undefined): readonly string[] {
  // This file, compiled or in dist/.
  const folder = /^(?:file:\/\/)?(.*\/)(?:out\/lib\/errors\/trace|dist\/chunks\/base)\.js(?:\?.*)?$/.exec(
    url ?? "",
  )?.[1];
  // With source maps the frames name files in src/.
  return folder === undefined ? [] : [`${folder}out/lib/`, `${folder}dist/`, `${folder}src/`];
}

/** Whether a frame is neither of this package nor of Node. */
function isOfProgram(frame: string): boolean {
  return !frame.includes("node:internal/") && !ownFolders.some((folder) => frame.includes(folder));
}

/** Sets `Error.stackTraceLimit` and returns the value before. Does nothing if the program has frozen `Error`. */
export function setStackLimit(limit: number | undefined): number | undefined {
  const before = Error.stackTraceLimit as number | undefined;
  try {
    Error.stackTraceLimit = limit as number;
  } catch {
    // The limit stays as it is.
  }
  return before;
}

/** Captures the current frames. Returns undefined if the program has turned stacks off, or if the runtime has none. */
function capture(): Frames | undefined {
  const limit: unknown = Error.stackTraceLimit;
  if (typeof limit !== "number" || limit <= 0 || typeof Error.captureStackTrace !== "function") return undefined;
  const frames: Frames = { name: "", message: "" };
  setStackLimit(limit + OWN_FRAMES);
  Error.captureStackTrace(frames, capture);
  setStackLimit(limit);
  return frames;
}

/** The lines of captured frames; none if the program has an `Error.prepareStackTrace` that returns another form. */
function linesOf({ stack }: Frames): string[] {
  if (typeof stack !== "string") return [];
  return stack.split("\n").filter((line) => line.startsWith("    at ") && !line.includes("new Promise (<anonymous>)"));
}

/** Makes the text of `stack`. */
export function stackText(error: Error, { made, rejected }: Trace): string {
  const limit: unknown = Error.stackTraceLimit;
  const max = typeof limit === "number" ? limit : DEFAULT_LIMIT;
  // The frames that were captured last are the nearest to the program.
  for (const frames of [...rejected.toReversed(), made]) {
    if (frames === undefined) continue;
    const lines = linesOf(frames).filter(isOfProgram);
    if (lines.length > 0) return [String(error), ...lines.slice(0, max)].join("\n");
  }
  // All frames are of this package or of Node.
  return [String(error), ...(made === undefined ? [] : linesOf(made)).slice(0, max)].join("\n");
}

/** The trace of a new error. */
export function newTrace(): Trace {
  return { made: capture(), rejected: [] };
}

/** Whether `addFrames` can add frames to the trace. */
export function canAddFrames({ made, rejected }: Trace): boolean {
  return made !== undefined && rejected.length < MAX_REJECTED;
}

/** Adds the current frames. `stackText` prefers them to those of earlier captures. */
export function addFrames({ rejected }: Trace): void {
  const frames = capture();
  if (frames !== undefined) rejected.push(frames);
}
