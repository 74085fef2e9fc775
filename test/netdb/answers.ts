// Prints the results of Python and of both our forms for the lookups in a file, as JSON. It runs with another /etc.
import { readFileSync } from "node:fs";
import { askBerkeley, askBlocking, askPython, hasBlocking, paired, type Question } from "./python.js";

const questions = JSON.parse(readFileSync(process.argv[2]!, "utf8")) as Question[];
const waiting = questions.filter(hasBlocking);
process.stdout.write(
  JSON.stringify({
    expected: paired(questions, askPython(questions)),
    awaited: paired(questions, await askBerkeley(questions)),
    blocking: paired(waiting, askBlocking(waiting)),
  }),
);
