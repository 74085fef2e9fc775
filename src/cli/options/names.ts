// Checks the names of socket options that a user has typed.

import { UsageError } from "../frame/failure.js";
import { socketOptions } from "../frame/socketOptions.js";
import { didYouMean } from "../frame/suggest.js";

/** @throws UsageError for an unknown name, with the nearest known one */
export async function checkNames(names: readonly string[]): Promise<void> {
  const known = await socketOptions();
  for (const name of names) {
    if (known.has(name)) continue;
    const suggestion = didYouMean(name, known.keys());
    throw new UsageError(`NAME is ${JSON.stringify(name)}, required the name of a socket option${suggestion}`);
  }
}
