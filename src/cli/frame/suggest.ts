// Suggests a known word for an unknown one.

/** The Damerau–Levenshtein distance: insertions, removals, replacements and swaps of neighbours. */
function distance(a: string, b: string): number {
  // A row has the distances between the first i letters of `a` and the first 0, 1, 2 … letters of `b`. The row of i is
  // computed from the two rows before it.
  let rowBeforePrevious: number[] = [];
  let previousRow = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replacement = a[i - 1] === b[j - 1] ? 0 : 1;
      let least = Math.min(previousRow[j]! + 1, row[j - 1]! + 1, previousRow[j - 1]! + replacement);
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (isSwap) least = Math.min(least, rowBeforePrevious[j - 2]! + 1);
      row.push(least);
    }
    rowBeforePrevious = previousRow;
    previousRow = row;
  }
  return previousRow[b.length]!;
}

/**
 * The known word with the smallest distance. Undefined if the distance is more than 3, or more than 40 % of the letters
 * of the longer word.
 */
export function nearest(given: string, words: Iterable<string>): string | undefined {
  const givenWord = given.toLowerCase();
  let nearestWord: string | undefined;
  let leastDistance = 4;
  for (const word of words) {
    const knownWord = word.toLowerCase();
    // The distance is at least the difference of the lengths.
    if (Math.abs(knownWord.length - givenWord.length) >= leastDistance) continue;
    const wordDistance = distance(givenWord, knownWord);
    const maxDistance = Math.max(givenWord.length, knownWord.length) * 0.4;
    if (wordDistance < leastDistance && wordDistance <= maxDistance) {
      nearestWord = word;
      leastDistance = wordDistance;
    }
  }
  return nearestWord;
}

/** `; did you mean "listen"?`, or "" if no word is near. */
export function didYouMean(given: string, words: Iterable<string>): string {
  const word = nearest(given, words);
  return word === undefined ? "" : `; did you mean ${JSON.stringify(word)}?`;
}
