// Finds the known name that is most similar to an unknown one.

/** The Damerau–Levenshtein distance of two words: insertions, removals, replacements and swaps of neighbours. */
function distance(a: string, b: string): number {
  // Rows of the matrix of distances between the first i letters of `a` and the first j letters of `b`.
  let [beforePrevious, previous]: [number[], number[]] = [
    [],
    Array.from({ length: b.length + 1 }, (_, index) => index),
  ];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const isSame = a[i - 1] === b[j - 1];
      // A removal, an insertion, or a replacement.
      let best = Math.min(previous[j]! + 1, row[j - 1]! + 1, previous[j - 1]! + (isSame ? 0 : 1));
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (isSwap) best = Math.min(best, beforePrevious[j - 2]! + 1);
      row.push(best);
    }
    [beforePrevious, previous] = [previous, row];
  }
  return previous[b.length]!;
}

/** The word with the smallest distance to `given`. Undefined if that is above 3, or above 40 % of the longer word. */
export function nearest(given: string, words: Iterable<string>): string | undefined {
  const unknown = given.toLowerCase();
  let nearestWord: string | undefined;
  // One more than the largest distance that counts as similar.
  let smallest = 4;
  for (const word of words) {
    const known = word.toLowerCase();
    // The distance is at least the difference of the lengths.
    if (Math.abs(known.length - unknown.length) >= smallest) continue;
    const difference = distance(unknown, known);
    if (difference < smallest && difference <= Math.max(unknown.length, known.length) * 0.4) {
      nearestWord = word;
      smallest = difference;
    }
  }
  return nearestWord;
}
