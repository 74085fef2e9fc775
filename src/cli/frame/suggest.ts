// Suggests a known word for an unknown one.

/** The Damerau–Levenshtein distance: insertions, removals, replacements and swaps of neighbours. */
function distance(a: string, b: string): number {
  let [beforeLast, last]: [number[], number[]] = [[], Array.from({ length: b.length + 1 }, (_, index) => index)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let best = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        best = Math.min(best, beforeLast[j - 2]! + 1);
      row.push(best);
    }
    [beforeLast, last] = [last, row];
  }
  return last[b.length]!;
}

/** The known word with the smallest distance. The distance must be at most 3, and at most 40 % of the letters. */
export function nearest(given: string, words: Iterable<string>): string | undefined {
  const givenWord = given.toLowerCase();
  let found: string | undefined;
  let least = 4;
  for (const word of words) {
    const knownWord = word.toLowerCase();
    if (Math.abs(knownWord.length - givenWord.length) >= least) continue;
    const differing = distance(givenWord, knownWord);
    if (differing < least && differing <= Math.max(givenWord.length, knownWord.length) * 0.4) {
      found = word;
      least = differing;
    }
  }
  return found;
}

/** `; did you mean "listen"?`, or "" if no word is near. */
export function didYouMean(given: string, words: Iterable<string>): string {
  const word = nearest(given, words);
  return word === undefined ? "" : `; did you mean ${JSON.stringify(word)}?`;
}
