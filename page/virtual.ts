// The rows of a list that are near the part on the screen, by @tanstack/virtual-core.

import {
  defaultRangeExtractor,
  elementScroll,
  measureElement,
  observeElementOffset,
  observeElementRect,
  type Range,
  Virtualizer,
} from "@tanstack/virtual-core";
import { useLayoutEffect, useRef, useState } from "preact/hooks";

interface List {
  readonly keys: readonly string[];
  readonly scroller: { readonly current: HTMLElement | null };
  /** Estimated height of a row in pixels; the real one is measured. */
  readonly rowHeight: number;
  /** Height of what stays at the top of the scroller. */
  readonly above: number;
  /** The row that stays in the document, because it can have the focus; -1 for none. */
  readonly kept: number;
}

export function useVirtualRows(list: List): Virtualizer<HTMLElement, HTMLElement> {
  const [, render] = useState({});
  const { keys, scroller, kept } = list;
  const options = {
    count: keys.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => list.rowHeight,
    getItemKey: (index: number) => keys[index] ?? index,
    scrollToFn: elementScroll,
    observeElementRect,
    observeElementOffset,
    measureElement,
    overscan: 8,
    scrollPaddingStart: list.above,
    rangeExtractor: (range: Range) => {
      const rows = defaultRangeExtractor(range);
      if (kept >= 0 && kept < keys.length && !rows.includes(kept)) rows.push(kept);
      return rows.sort((a, b) => a - b);
    },
    onChange: () => render({}),
  };
  const made = useRef<Virtualizer<HTMLElement, HTMLElement>>(undefined);
  made.current ??= new Virtualizer<HTMLElement, HTMLElement>(options);
  const virtualizer = made.current;
  virtualizer.setOptions(options);
  // The names that an adapter of the package has to call.
  // oxlint-disable-next-line no-underscore-dangle -- see above
  useLayoutEffect(() => virtualizer._didMount(), [virtualizer]);
  // oxlint-disable-next-line no-underscore-dangle -- see above
  useLayoutEffect(() => virtualizer._willUpdate());
  return virtualizer;
}
