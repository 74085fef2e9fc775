// A program that runs the rows that require a process of their own: without privileges, and with few descriptors. It
// prints the outcomes, as `[[number of the row, name of the socket, outcome], …]`.
import { outcomeOf } from "./scene.js";
import { apis } from "./row.js";
import { rows } from "./table.js";

/** The user and group "nobody" of every Linux. */
const NOBODY = 65_534;

// The rows that this program is for may be loaded with privileges; they run without.
if (process.getuid?.() === 0) {
  process.setgroups?.([]);
  process.setgid?.(NOBODY);
  process.setuid?.(NOBODY);
}

const outcomes: unknown[] = [];
for (const [name, api] of apis) {
  for (const [index, row] of rows.entries()) {
    if (row.apart === true) outcomes.push([index, name, await outcomeOf(row, api)]);
  }
}
process.stdout.write(JSON.stringify(outcomes));
