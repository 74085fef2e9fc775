// Code of the inspector that a timer or an event of the program calls. An error that leaves it would end the program.

let last = "";

/** Emits a warning for a fault of the inspector; once for the same fault in a row. */
export function warnOf(error: unknown): void {
  const text = `The inspector failed: ${String(error)}`;
  if (text === last) return;
  last = text;
  process.emitWarning(text, "InspectorWarning");
}

/** Calls `work`. An error of it becomes a warning. */
export function guarded(work: () => void): void {
  try {
    work();
  } catch (error) {
    warnOf(error);
  }
}
