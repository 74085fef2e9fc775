// Finds the known name that is most similar to an unknown one.

/**
 * The Damerau–Levenshtein distance of two words: the number of edits that turn one word into the other. An edit
 * inserts, removes or replaces a letter, or swaps two neighbours.
 */
function distance(from: string, to: string): number {
  // Item j of row i is the distance of the first i letters of `from` and the first j letters of `to`. The loop makes
  // row i from the two rows before it.
  let rowBeforePrevious: number[] = [];
  let previousRow = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let i = 1; i <= from.length; i++) {
    const row = [i];
    for (let j = 1; j <= to.length; j++) {
      const isSame = from[i - 1] === to[j - 1];
      // A removal, an insertion, or a replacement.
      let best = Math.min(previousRow[j]! + 1, row[j - 1]! + 1, previousRow[j - 1]! + (isSame ? 0 : 1));
      const isSwap = i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1];
      if (isSwap) best = Math.min(best, rowBeforePrevious[j - 2]! + 1);
      row.push(best);
    }
    rowBeforePrevious = previousRow;
    previousRow = row;
  }
  return previousRow[to.length]!;
}

/** A word with a larger distance does not count as similar. */
const MAX_DISTANCE = 3;

/**
 * The word with the smallest distance to `given`. Undefined if this distance is above 3, or above 40 % of the length of
 * the longer word. Upper and lower case count as equal.
 */
export function nearest(given: string, words: Iterable<string>): string | undefined {
  const givenLower = given.toLowerCase();
  let nearestWord: string | undefined;
  let smallest = MAX_DISTANCE + 1;
  for (const word of words) {
    const lower = word.toLowerCase();
    // The distance is at least the difference of the lengths.
    if (Math.abs(lower.length - givenLower.length) >= smallest) continue;
    const edits = distance(givenLower, lower);
    if (edits < smallest && edits <= Math.max(givenLower.length, lower.length) * 0.4) {
      nearestWord = word;
      smallest = edits;
    }
  }
  return nearestWord;
}
