// The state of the page: the rows of all sockets, and the socket that is open. Server-sent events update it.

import { useEffect, useState } from "preact/hooks";

import type { SocketDetail, SocketReport, TableUpdate } from "../src/inspect/protocol.js";

/**
 * `silent`: the process does not answer, so it has ended or has stopped its inspector. `refused`: the token is not the
 * one of the process.
 */
export type Connection = "connecting" | "live" | "lost" | "silent" | "refused";

export interface State {
  readonly connection: Connection;
  readonly rows: ReadonlyMap<string, SocketReport>;
  /** The time of the data by the clock of the process; 0 before the first data. */
  readonly time: number;
  readonly dropped: number;
  readonly process: TableUpdate["process"] | null;
  /** The socket that is open. */
  readonly detail: SocketDetail | null;
  /** Whether the open socket is not in the rows any more. */
  readonly gone: boolean;
}

/** Milliseconds before another attempt to open the stream of events. */
const RETRY = 2_000;

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
  const gone = watched !== null && (state.detail !== null || state.gone) && !rows.has(watched);
  update({ connection: "live", rows, time: table.time, dropped: table.dropped, process: table.process, gone });
}

/** The id of the open socket. */
let watched: string | null = null;
let source: EventSource | undefined;
let retry: ReturnType<typeof setTimeout> | undefined;

/** Opens the stream of events, with those of a socket unless `socket` is null. */
export function watch(socket: string | null): void {
  if (source !== undefined && socket === watched) return;
  if (socket !== watched) update({ detail: null, gone: false });
  watched = socket;
  open(socket);
}

function open(socket: string | null): void {
  clearTimeout(retry);
  source?.close();
  const events = new EventSource(socket === null ? "events" : `events?socket=${encodeURIComponent(socket)}`);
  source = events;
  events.addEventListener("table", (event: MessageEvent<string>) => {
    applyTable(JSON.parse(event.data) as TableUpdate);
  });
  events.addEventListener("detail", (event: MessageEvent<string>) => {
    const detail = JSON.parse(event.data) as SocketDetail;
    if (detail.socket.id === watched) update({ connection: "live", detail });
  });
  events.addEventListener("error", () => {
    if (source !== events) return;
    events.close();
    void findCauseAndRetry(socket);
  });
}

/** Finds the cause of a failure by a request, because an EventSource does not report it. Then reopens the stream. */
async function findCauseAndRetry(socket: string | null): Promise<void> {
  if (state.connection === "live") update({ connection: "lost" });
  let status: number | undefined;
  try {
    ({ status } = await fetch(socket === null ? "api/lessons" : `api/sockets/${encodeURIComponent(socket)}`));
  } catch {
    status = undefined;
  }
  if (socket !== watched) return;
  if (status === 401 || status === 403) return update({ connection: "refused" });
  if (status === undefined) update({ connection: "silent" });
  if (status === 404 && socket !== null) {
    // The socket is gone. The events of the table go on.
    update({ gone: true });
    return open(null);
  }
  retry = setTimeout(() => open(socket), RETRY);
}
