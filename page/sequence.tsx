// The calls of a socket and of its other end as a sequence diagram. Time goes down, and each end has a lane. If the
// recorded calls prove that one end has sent data or a packet, an arrow between the lanes shows that.

import type { JSX } from "preact";
import { useState } from "preact/hooks";

import type { CallReport, SocketDetail, SocketReport } from "../src/inspect/protocol.js";
import { byteCountText, microsecondsText, plural, shortLine, visible } from "./format.js";
import { Payload } from "./payload.js";

type Side = "left" | "right";

/** Data or a packet that one end has sent. */
interface Arrow {
  readonly from: Side;
  readonly label: string;
  readonly kind: "data" | "control" | "error";
}

/** A call, the lane of its socket, and the arrow that it causes. */
interface CallEvent {
  readonly call: CallReport;
  readonly side: Side;
  readonly arrow: Arrow | null;
}

/** The number of latest calls that are drawn until the user clicks on the button for the earlier ones. */
const LATEST_CALLS = 200;

const SENDS = /^(?:send|write|sendfile|splice)/;
const RECEIVES = /^(?:recv|read)/;

const otherSide = (side: Side): Side => (side === "left" ? "right" : "left");

/**
 * The lanes of the two ends. The end with a recorded connect() is on the left. Without one, the socket of this page is
 * on the right if an accept() or listen() is recorded, and otherwise on the left.
 */
function sidesOf({ socket, other, calls }: SocketDetail): { left: SocketReport | null; right: SocketReport | null } {
  const hasConnect = (id: string | undefined): boolean =>
    id !== undefined && calls.some((call) => call.socket === id && call.call === "connect");
  const hasAccept = calls.some(({ call }) => call === "accept" || call === "listen");
  if (hasConnect(socket.id)) return { left: socket, right: other };
  if (hasConnect(other?.id) || hasAccept) return { left: other, right: socket };
  return { left: socket, right: other };
}

/**
 * The packet that the kernel has sent for a close() or shutdown(). It follows from the later reads of the other end:
 * FIN if a read has returned 0, RST if it has failed with ECONNRESET. Empty if no such read is recorded.
 */
function endPacketOf(calls: readonly CallReport[], index: number): "FIN" | "RST" | "" {
  const { socket } = calls[index]!;
  for (const later of calls.slice(index + 1)) {
    if (later.socket === socket || !RECEIVES.test(later.call)) continue;
    if (later.errno === "ECONNRESET") return "RST";
    if (later.result === 0) return "FIN";
  }
  return "";
}

/** Whether a call has ended the sending of its socket. */
const endsSending = ({ call, errno, detail }: CallReport): boolean =>
  errno === null && (call === "close" || (call === "shutdown" && detail !== "SHUT_RD"));

/** The labels for UNIX sockets, which send no packets. */
const UNIX_LABELS = { FIN: "end", RST: "reset" } as const;

/** The arrow of close() and shutdown(). Only the first call that ends the sending makes the kernel send a FIN. */
function arrowOfEnd(calls: readonly CallReport[], index: number, side: Side, isTcp: boolean): Arrow | null {
  const call = calls[index]!;
  const packet = endsSending(call) ? endPacketOf(calls, index) : "";
  const hasEndedBefore = calls
    .slice(0, index)
    .some((earlier) => earlier.socket === call.socket && endsSending(earlier));
  if (packet === "" || (packet === "FIN" && hasEndedBefore)) return null;
  return { from: side, label: isTcp ? packet : UNIX_LABELS[packet], kind: packet === "RST" ? "error" : "control" };
}

/** Whether this is the first read of its socket that has returned the end of the stream. */
const isFirstEnd = (calls: readonly CallReport[], index: number): boolean =>
  !calls
    .slice(0, index)
    .some((earlier) => earlier.socket === calls[index]!.socket && RECEIVES.test(earlier.call) && earlier.result === 0);

/** Whether an earlier connect() of this socket would have blocked. */
const isConnecting = (calls: readonly CallReport[], index: number, socket: string): boolean =>
  calls
    .slice(0, index)
    .some((earlier) => earlier.socket === socket && earlier.call === "connect" && earlier.wouldBlock);

/** The arrow of a call; null for none. `hasBothEnds` says whether the calls of both ends are recorded. */
function arrowOf(
  calls: readonly CallReport[],
  index: number,
  side: Side,
  hasBothEnds: boolean,
  { type, family }: SocketReport,
): Arrow | null {
  const isTcp = type === "SOCK_STREAM" && family.startsWith("AF_INET");
  const { call, result, moved, errno, wouldBlock, socket } = calls[index]!;
  if (call === "connect" && isTcp) {
    // After EINPROGRESS the library calls connect() again, which returns the result and sends no SYN.
    const isRepeated = isConnecting(calls, index, socket);
    if (!isRepeated && (errno === null || wouldBlock)) return { from: side, label: "SYN", kind: "control" };
    if (errno === "ECONNREFUSED") return { from: otherSide(side), label: "RST", kind: "error" };
  }
  if (moved?.sent === true && moved.bytes > 0) return { from: side, label: byteCountText(moved.bytes), kind: "data" };
  if (call === "close" || call === "shutdown") {
    // The end of a datagram socket sends nothing. A read of 0 bytes at the other end was an empty datagram.
    return hasBothEnds && type !== "SOCK_DGRAM" ? arrowOfEnd(calls, index, side, isTcp) : null;
  }
  // If the calls of the other end are missing, the reads of this end show what the other end has sent.
  const isRead = RECEIVES.test(call) || moved?.sent === false;
  if (!isRead || hasBothEnds) return null;
  if (moved !== null && moved.bytes > 0)
    return { from: otherSide(side), label: byteCountText(moved.bytes), kind: "data" };
  if (result === 0 && isTcp)
    return isFirstEnd(calls, index) ? { from: otherSide(side), label: "FIN", kind: "control" } : null;
  if (errno === "ECONNRESET") return { from: otherSide(side), label: "RST", kind: "error" };
  return null;
}

function eventsOf(detail: SocketDetail): CallEvent[] {
  const { left } = sidesOf(detail);
  const { calls, other, socket } = detail;
  // The calls of the other end can be missing: Node makes those of a TLS connection, and a busy thread sends no calls.
  const hasBothEnds = other !== null && calls.some((call) => call.socket === other.id);
  return calls.map((call, index) => {
    const owner = call.socket === other?.id ? other : socket;
    const side: Side = owner === left ? "left" : "right";
    return { call, side, arrow: arrowOf(calls, index, side, hasBothEnds, socket) };
  });
}

function Result({ call }: { readonly call: CallReport }): JSX.Element {
  if (call.wouldBlock) {
    return (
      <span class="result waits" title={`The kernel returned ${call.errno ?? "EAGAIN"}; the library waits`}>
        would block{call.errno !== null && ` (${visible(call.errno)})`}
      </span>
    );
  }
  if (call.errno !== null) return <span class="result failed">{visible(call.errno)}</span>;
  if (call.result === null) return <span class="result" />;
  let text = call.result === 0 ? "ok" : String(call.result);
  if (SENDS.test(call.call) || RECEIVES.test(call.call)) text = plural(call.moved?.bytes ?? call.result, "byte");
  return <span class="result">{text}</span>;
}

/** The title of a lane. */
function LaneHead({ socket, side, name }: { socket: SocketReport | null; side: Side; name: string }): JSX.Element {
  return (
    <div class={`lane-head ${side}`}>
      <b>{name}</b>
      {socket !== null && (
        <span>
          {socket.fd >= 0 && `fd ${socket.fd}, `}
          {visible(socket.local ?? "no address")}
        </span>
      )}
    </div>
  );
}

export function Sequence(props: { readonly detail: SocketDetail; readonly dropped: number }): JSX.Element {
  const { detail, dropped } = props;
  const [showsAll, setShowsAll] = useState(false);
  const { left, right } = sidesOf(detail);
  const events = eventsOf(detail);
  const shown = showsAll ? events : events.slice(-LATEST_CALLS);
  const firstStart = events[0]?.call.start ?? 0;
  if (events.length === 0) {
    return (
      <p class="faint">
        No call is recorded. The inspector records calls from its start on, and drops the oldest ones first.
      </p>
    );
  }
  const nameOf = (socket: SocketReport | null): string => {
    if (socket === null) return "the other end, not in the table";
    return socket === detail.socket ? "this socket" : "the other end";
  };
  return (
    <div class="sequence">
      <div class="lanes">
        <LaneHead socket={left} side="left" name={nameOf(left)} />
        <LaneHead socket={right} side="right" name={nameOf(right)} />
      </div>
      {shown.length < events.length && (
        <button type="button" class="quiet" onClick={() => setShowsAll(true)}>
          Show {plural(events.length - shown.length, "earlier call")}
        </button>
      )}
      <ol aria-label="Calls, the oldest first">
        {shown.map(({ call, side, arrow }) => (
          <li key={`${call.socket} ${call.sequence}`} class={`event ${side}`} data-call={call.call}>
            <div class="call">
              <div class="call-line">
                <code>
                  <b>{visible(call.call)}</b>({visible(call.detail)})
                </code>
                <Result call={call} />
              </div>
              <div class="call-facts">
                <span title="time since the first call">
                  +{microsecondsText(Math.max(0, call.start - firstStart) * 1000)}
                </span>
                <span title="time in the kernel">took {microsecondsText(call.duration)}</span>
                {call.line !== null && <span title={visible(call.line)}>{shortLine(call.line)}</span>}
                {call.socket !== detail.socket.id && call.socket !== detail.other?.id && (
                  <span>socket {visible(call.socket)}</span>
                )}
              </div>
              {call.payload !== null && <Payload payload={call.payload} />}
            </div>
            <div class="wire">{arrow !== null && <ArrowLine arrow={arrow} />}</div>
          </li>
        ))}
      </ol>
      <p class="faint">
        Arrows follow from the calls of both ends: SYN from connect(), FIN or RST from what the other end then received.
        {dropped > 0 &&
          ` The inspector keeps the latest calls of the process; ${plural(dropped, "older record")} of all its sockets ${dropped === 1 ? "is" : "are"} gone.`}
      </p>
    </div>
  );
}

export function ArrowLine({ arrow }: { readonly arrow: Arrow }): JSX.Element {
  return (
    <span class={`wire-arrow from-${arrow.from} ${arrow.kind}`}>
      <span class="hidden">{arrow.from === "left" ? "to the right: " : "to the left: "}</span>
      <span class="wire-label">{arrow.label}</span>
    </span>
  );
}
