// The state of the page: the rows of all sockets, and the socket that is open. Server-sent events update it.

import { useEffect, useState } from "preact/hooks";

import type { SocketDetail, SocketReport, TableUpdate } from "../src/inspect/protocol.js";

/**
 * The state of the connection to the process. `lost`: the stream of events has ended, and the cause is not known yet.
 * `silent`: the process does not answer, so it has ended or has stopped its inspector. `refused`: the process has
 * another token.
 */
export type Connection = "connecting" | "live" | "lost" | "silent" | "refused";

export interface State {
  readonly connection: Connection;
  /** The rows of the table, by the id of the socket. */
  readonly rows: ReadonlyMap<string, SocketReport>;
  /** The time of the data by the clock of the process; 0 before the first data. */
  readonly time: number;
  /** The number of call records that were overwritten. */
  readonly dropped: number;
  readonly process: TableUpdate["process"] | null;
  /** All data about the socket that the page shows. */
  readonly detail: SocketDetail | null;
  /** Whether the socket that the page shows is not in the rows any more. */
  readonly gone: boolean;
}

/** Milliseconds before another attempt to open the stream of events. */
const RETRY_DELAY = 2_000;

let state: State = {
  connection: "connecting",
  rows: new Map(),
  time: 0,
  dropped: 0,
  process: null,
  detail: null,
  gone: false,
};
const listeners = new Set<() => void>();

function update(changes: Partial<State>): void {
  state = { ...state, ...changes };
  for (const listener of listeners) listener();
}

/** Returns the state. The component is drawn again after each change of the state. */
export function useStore(): State {
  const [, render] = useState(state);
  useEffect(() => {
    const listener = (): void => render(state);
    listeners.add(listener);
    listener();
    return () => void listeners.delete(listener);
  }, []);
  return state;
}

function applyTable(table: TableUpdate): void {
  const rows = table.whole ? new Map<string, SocketReport>() : new Map(state.rows);
  for (const id of table.removed) rows.delete(id);
  for (const row of table.changed) rows.set(row.id, row);
  // A socket counts as gone only after the page has shown it.
  const gone = watchedId !== null && (state.detail !== null || state.gone) && !rows.has(watchedId);
  update({ connection: "live", rows, time: table.time, dropped: table.dropped, process: table.process, gone });
}

/** The id of the socket that the page shows; null if it shows none. */
let watchedId: string | null = null;
let stream: EventSource | undefined;
let retryTimer: ReturnType<typeof setTimeout> | undefined;

/** Opens the stream of events: of the table, and of the socket unless `socketId` is null. */
export function watch(socketId: string | null): void {
  if (stream !== undefined && socketId === watchedId) return;
  if (socketId !== watchedId) update({ detail: null, gone: false });
  watchedId = socketId;
  openStream(socketId);
}

function openStream(socketId: string | null): void {
  clearTimeout(retryTimer);
  stream?.close();
  const events = new EventSource(socketId === null ? "events" : `events?socket=${encodeURIComponent(socketId)}`);
  stream = events;
  events.addEventListener("table", (event: MessageEvent<string>) => {
    applyTable(JSON.parse(event.data) as TableUpdate);
  });
  events.addEventListener("detail", (event: MessageEvent<string>) => {
    const detail = JSON.parse(event.data) as SocketDetail;
    if (detail.socket.id === watchedId) update({ connection: "live", detail });
  });
  events.addEventListener("error", () => {
    if (stream !== events) return;
    events.close();
    void findCauseAndRetry(socketId);
  });
}

/** Finds the cause of a failure by a request, because an EventSource reports none. Then reopens the stream. */
async function findCauseAndRetry(socketId: string | null): Promise<void> {
  if (state.connection === "live") update({ connection: "lost" });
  let status: number | undefined;
  try {
    // `api/lessons` is only an example of a path that the process always answers.
    ({ status } = await fetch(socketId === null ? "api/lessons" : `api/sockets/${encodeURIComponent(socketId)}`));
  } catch {
    // The process does not answer.
    status = undefined;
  }
  // Meanwhile the page has opened another stream.
  if (socketId !== watchedId) return;
  if (status === 401 || status === 403) return update({ connection: "refused" });
  if (status === undefined) update({ connection: "silent" });
  if (status === 404 && socketId !== null) {
    // The socket is gone. The events of the table go on.
    update({ gone: true });
    return openStream(null);
  }
  retryTimer = setTimeout(() => openStream(socketId), RETRY_DELAY);
}
