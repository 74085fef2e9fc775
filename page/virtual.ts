// Draws only those rows of a long list that are near the visible part, with @tanstack/virtual-core.

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
  /** The keys of all rows. */
  readonly keys: readonly string[];
  readonly scroller: { readonly current: HTMLElement | null };
  /** Estimated height of a row in pixels; the real one is measured. */
  readonly rowHeight: number;
  /** Height of the header in pixels. The header stays at the top of the scroller. */
  readonly headerHeight: number;
  /** The row that is always drawn, because it may have the focus; -1 for none. */
  readonly activeIndex: number;
}

/** Returns the object that computes which rows to draw, and where. */
export function useVirtualRows(list: List): Virtualizer<HTMLElement, HTMLElement> {
  const [, render] = useState({});
  const { keys, scroller, activeIndex } = list;
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
    scrollPaddingStart: list.headerHeight,
    rangeExtractor: (range: Range) => {
      const rows = defaultRangeExtractor(range);
      if (activeIndex >= 0 && activeIndex < keys.length && !rows.includes(activeIndex)) rows.push(activeIndex);
      return rows.sort((one, other) => one - other);
    },
    onChange: () => render({}),
  };
  const instance = useRef<Virtualizer<HTMLElement, HTMLElement>>(undefined);
  instance.current ??= new Virtualizer<HTMLElement, HTMLElement>(options);
  const virtualizer = instance.current;
  virtualizer.setOptions(options);
  // The code that connects the package to a framework has to call these methods, in spite of their names.
  // oxlint-disable-next-line no-underscore-dangle -- see above
  useLayoutEffect(() => virtualizer._didMount(), [virtualizer]);
  // oxlint-disable-next-line no-underscore-dangle -- see above
  useLayoutEffect(() => virtualizer._willUpdate());
  return virtualizer;
}
