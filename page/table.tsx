// The live table of all sockets. Tab moves the focus only to one row, the active one. The arrow keys make another row
// active.

import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";

import type { SocketReport } from "../src/inspect/protocol.js";
import { COLUMNS, type Filter, kindOf, NO_FILTER, selectRows, type Sorting } from "./columns.js";
import { countText, plural, visible } from "./format.js";
import { Empty, FindingText, StatePill } from "./parts.js";
import type { State } from "./store.js";
import { useVirtualRows } from "./virtual.js";

/** The height of the header in pixels, as style.css sets it. */
const HEADER_HEIGHT = 34;
/** The height of a row without findings in pixels. */
const ROW_HEIGHT = 33;

/** The state of the table, kept while the page shows another view. `activeId` is the id of the active row. */
let saved: { filter: Filter; sorting: Sorting; activeId: string | null; scrollTop: number } = {
  filter: NO_FILTER,
  sorting: { key: "fd", descending: false },
  activeId: null,
  scrollTop: 0,
};

const valuesOf = (rows: Iterable<SocketReport>, valueOf: (row: SocketReport) => string): string[] =>
  [...new Set([...rows].map(valueOf))].toSorted();

/** A list from which one value of the filter is chosen. */
function Choice(props: {
  readonly label: string;
  /** The chosen value; empty for all. */
  readonly value: string;
  /** The text for "all". */
  readonly all: string;
  /** The values, and their texts. */
  readonly values: readonly (readonly [string, string])[];
  readonly onChoice: (value: string) => void;
}): JSX.Element {
  return (
    <label class="choice">
      <span>{props.label}</span>
      <select value={props.value} onChange={(event) => props.onChoice(event.currentTarget.value)}>
        <option value="">{props.all}</option>
        {props.values.map(([value, title]) => (
          <option key={value} value={value}>
            {title}
          </option>
        ))}
      </select>
    </label>
  );
}

export function Table({ state }: { readonly state: State }): JSX.Element {
  const { rows, time } = state;
  const [filter, setFilter] = useState(saved.filter);
  const [sorting, setSorting] = useState(saved.sorting);
  const [activeId, setActiveId] = useState(saved.activeId);
  const scroller = useRef<HTMLDivElement>(null);
  saved = { ...saved, filter, sorting, activeId };

  const shown = useMemo(() => selectRows(rows.values(), filter, sorting), [rows, filter, sorting]);
  const ids = useMemo(() => shown.map(({ id }) => id), [shown]);
  const states = useMemo(() => valuesOf(rows.values(), (row) => row.state), [rows]);
  const kinds = useMemo(() => valuesOf(rows.values(), kindOf), [rows]);
  const threads = useMemo(() => valuesOf(rows.values(), (row) => String(row.thread)), [rows]);
  const flaggedCount = useMemo(() => [...rows.values()].filter((row) => row.findings.length > 0).length, [rows]);

  const foundIndex = activeId === null ? -1 : ids.indexOf(activeId);
  // If the active row is gone, the first one is active.
  const activeIndex = foundIndex < 0 && ids.length > 0 ? 0 : foundIndex;
  const virtual = useVirtualRows({
    keys: ids,
    scroller,
    rowHeight: ROW_HEIGHT,
    headerHeight: HEADER_HEIGHT,
    activeIndex,
  });

  useEffect(() => {
    scroller.current?.scrollTo(0, saved.scrollTop);
    const element = scroller.current;
    return () => {
      saved.scrollTop = element?.scrollTop ?? 0;
    };
  }, []);

  const changeFilter = (changes: Partial<Filter>): void => {
    setFilter({ ...filter, ...changes });
    scroller.current?.scrollTo(0, 0);
  };
  const sortBy = (key: string): void => {
    setSorting({ key, descending: sorting.key === key ? !sorting.descending : false });
  };
  // The id of the row that gets the focus when it is drawn.
  const idToFocus = useRef<string | null>(null);
  // The id of the active row after the latest key press. Another key press can come before the table is drawn again.
  const latestId = useRef<string | undefined>(undefined);
  latestId.current = ids[activeIndex];
  const moveTo = (index: number): void => {
    const next = Math.max(0, Math.min(ids.length - 1, index));
    const id = ids[next];
    if (id === undefined) return;
    idToFocus.current = id;
    latestId.current = id;
    setActiveId(id);
    virtual.scrollToIndex(next, { align: "auto" });
  };
  useLayoutEffect(() => {
    if (idToFocus.current === null) return;
    const row = scroller.current?.querySelector<HTMLElement>('[role="row"][tabindex="0"]');
    if (row?.dataset["id"] !== idToFocus.current) return;
    idToFocus.current = null;
    row.focus({ preventScroll: true });
  });
  const onKey = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (!(event.target instanceof HTMLElement) || event.target.getAttribute("role") !== "row") return;
    const height = scroller.current?.clientHeight ?? 400;
    const rowsOfScreen = Math.max(1, Math.floor((height - HEADER_HEIGHT) / ROW_HEIGHT) - 1);
    const at = latestId.current === undefined ? 0 : ids.indexOf(latestId.current);
    const indexByKey: Readonly<Record<string, number>> = {
      ArrowDown: at + 1,
      ArrowUp: at - 1,
      PageDown: at + rowsOfScreen,
      PageUp: at - rowsOfScreen,
      Home: 0,
      End: ids.length - 1,
    };
    const index = indexByKey[event.key];
    if (index !== undefined) {
      event.preventDefault();
      moveTo(index);
    } else if (event.key === "Enter" && latestId.current !== undefined) {
      openSocket(latestId.current);
    }
  };

  const isFiltered = shown.length !== rows.size;
  const direction = sorting.descending
    ? ({ name: "descending", sign: "▾" } as const)
    : ({ name: "ascending", sign: "▴" } as const);
  return (
    <main class="table-view" id="main">
      <h1 class="hidden">Sockets</h1>
      <div class="toolbar" role="search" aria-label="Filter of the table">
        <label class="search">
          <span class="hidden">Search</span>
          <input
            id="search"
            type="search"
            placeholder="Search: address, state, call, file …"
            autocomplete="off"
            spellcheck={false}
            value={filter.words}
            onInput={(event) => changeFilter({ words: event.currentTarget.value })}
          />
          <kbd aria-hidden="true">/</kbd>
        </label>
        <Choice
          label="Kind"
          all="All kinds"
          value={filter.kind}
          values={kinds.map((kind) => [kind, kind])}
          onChoice={(kind) => changeFilter({ kind })}
        />
        <Choice
          label="State"
          all="All states"
          value={filter.state}
          values={states.map((name) => [name, name])}
          onChoice={(name) => changeFilter({ state: name })}
        />
        {threads.length > 1 && (
          <Choice
            label="Thread"
            all="All threads"
            value={filter.thread}
            values={threads.map((thread) => [thread, thread === "0" ? "main" : `worker ${thread}`])}
            onChoice={(thread) => changeFilter({ thread })}
          />
        )}
        <label class="check">
          <input
            type="checkbox"
            checked={filter.flagged}
            onChange={(event) => changeFilter({ flagged: event.currentTarget.checked })}
          />
          Flagged <span class={flaggedCount > 0 ? "badge" : "badge none"}>{countText(flaggedCount)}</span>
        </label>
        <label class="choice narrow-only">
          <span>Sort by</span>
          <select
            value={sorting.key}
            onChange={(event) => setSorting({ key: event.currentTarget.value, descending: false })}
          >
            {COLUMNS.map(({ key, hint }) => (
              <option key={key} value={key}>
                {hint.replace(/:.*/, "")}
              </option>
            ))}
          </select>
        </label>
        <p class="count" role="status">
          {isFiltered ? `${countText(shown.length)} of ${plural(rows.size, "socket")}` : plural(rows.size, "socket")}
        </p>
        {isFiltered && (
          <button type="button" class="quiet" onClick={() => setFilter(NO_FILTER)}>
            Show all
          </button>
        )}
      </div>

      <div class="scroller" ref={scroller} onKeyDown={onKey}>
        <div
          role="grid"
          aria-label="Sockets of the process"
          aria-rowcount={shown.length + 1}
          aria-colcount={COLUMNS.length + 1}
        >
          <div role="rowgroup" class="grid-head">
            <div role="row" class="grid-row head" aria-rowindex={1}>
              {COLUMNS.map((column) => {
                const isSorted = sorting.key === column.key;
                return (
                  <div
                    key={column.key}
                    role="columnheader"
                    class={`cell ${column.key} ${column.isNumeric ? "number" : ""}`}
                    aria-sort={isSorted ? direction.name : "none"}
                  >
                    <button type="button" title={column.hint} onClick={() => sortBy(column.key)}>
                      {column.title}
                      <span class="arrow" aria-hidden="true">
                        {isSorted && direction.sign}
                      </span>
                    </button>
                  </div>
                );
              })}
              <div role="columnheader" class="hidden">
                Findings
              </div>
            </div>
          </div>
          <div role="rowgroup" class="grid-body" style={{ height: `${virtual.getTotalSize()}px` }}>
            {virtual.getVirtualItems().map((item) => {
              const row = shown[item.index];
              if (row === undefined) return null;
              return (
                <div
                  key={row.id}
                  role="row"
                  class={`grid-row body ${item.index % 2 === 1 ? "odd" : ""} ${row.findings.length > 0 ? "flagged" : ""}`}
                  ref={(element) => {
                    if (element !== null) virtual.measureElement(element);
                  }}
                  data-index={item.index}
                  data-id={row.id}
                  style={{ transform: `translateY(${item.start}px)` }}
                  tabIndex={item.index === activeIndex ? 0 : -1}
                  aria-rowindex={item.index + 2}
                  onFocus={() => setActiveId(row.id)}
                  onClick={() => openSocket(row.id)}
                >
                  <Cells row={row} now={time} />
                </div>
              );
            })}
          </div>
        </div>
        {shown.length === 0 && <NoRows state={state} />}
      </div>
    </main>
  );
}

function Cells({ row, now }: { readonly row: SocketReport; readonly now: number }): JSX.Element {
  return (
    <>
      {COLUMNS.map((column) => {
        const text = column.text(row, now);
        const fullText = column.key === "line" ? visible(row.line ?? "") : text;
        return (
          <div
            key={column.key}
            role="gridcell"
            class={`cell ${column.key} ${column.isNumeric ? "number" : ""} ${text === "0" || text === "–" ? "zero" : ""}`}
            data-title={column.title}
            title={fullText}
          >
            {column.key === "state" ? <StatePill state={row.state} /> : text}
          </div>
        );
      })}
      <div role="gridcell" class={row.findings.length > 0 ? "findings" : "findings none"}>
        {row.findings.map((finding) => (
          <FindingText key={finding.kind} finding={finding} />
        ))}
      </div>
    </>
  );
}

function NoRows({ state }: { readonly state: State }): JSX.Element {
  if (state.time === 0) {
    return (
      <Empty title={state.connection === "connecting" ? "Waiting for the first data" : "There is no data"}>
        <p>The process sends its sockets about once a second.</p>
      </Empty>
    );
  }
  if (state.rows.size === 0) {
    return (
      <Empty title="The process has no socket">
        <p>
          Sockets of <code>berkeley</code> appear here when the program makes them. Sockets of <code>node:net</code> do
          not.
        </p>
        <p>
          <a href="#/tour">The tour</a> makes some.
        </p>
      </Empty>
    );
  }
  return (
    <Empty title="No socket matches the filter">
      <p>“Show all” clears it.</p>
    </Empty>
  );
}

function openSocket(id: string): void {
  location.hash = `#/sockets/${encodeURIComponent(id)}`;
}
