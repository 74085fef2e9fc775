// Code of the inspector that runs in a timer or an event must not throw, because the error would end the program. So
// these functions emit a warning for the error.

/** The text of the most recent warning. */
let lastText = "";

/** Emits a warning for an error of the inspector, unless the previous warning had the same text. */
export function emitErrorWarning(error: unknown): void {
  const text = `The inspector failed: ${String(error)}`;
  if (text === lastText) return;
  lastText = text;
  process.emitWarning(text, "InspectorWarning");
}

/** Calls `work`. An error that it throws becomes a warning. */
export function runGuarded(work: () => void): void {
  try {
    work();
  } catch (error) {
    emitErrorWarning(error);
  }
}
