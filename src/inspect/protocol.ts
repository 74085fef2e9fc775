// The data of the inspector: the shapes that inspect.sockets() returns, that --headless writes as JSON lines, and that
// the page gets. All of them are plain JSON. Times are milliseconds as of Date.now(), with fractions.

/** What is wrong with a socket, in a sentence. */
export interface Finding {
  readonly kind: "leak" | "idle" | "stalled" | "overflow" | "busy";
  /** A sentence for people: the figure that was seen, and what it means. */
  readonly text: string;
}

/** A call that waits. */
export interface PendingReport {
  readonly call: string;
  readonly waited: number;
  readonly line: string | null;
}

/** Bytes and calls in one direction. */
export interface TransferReport {
  readonly bytes: number;
  readonly calls: number;
}

/** A socket, as a row of the table. */
export interface SocketReport {
  /** `THREAD:NUMBER`, unique in the process. */
  readonly id: string;
  /** 0 for the main thread; else the thread id of the worker. */
  readonly thread: number;
  readonly fd: number;
  /** AF_INET, AF_INET6, AF_UNIX … */
  readonly family: string;
  /** SOCK_STREAM, SOCK_DGRAM … */
  readonly type: string;
  /** LISTEN, ESTABLISHED … of TCP; of other sockets open, bound, connected, listening or closed. */
  readonly state: string;
  readonly local: string | null;
  readonly peer: string | null;
  /** The line of the program that made the socket: file, line and column. */
  readonly line: string | null;
  readonly since: number;
  readonly received: TransferReport;
  readonly sent: TransferReport;
  /** Bytes in the queues of the kernel; null where the kernel has none. */
  readonly receiveQueue: number | null;
  readonly sendQueue: number | null;
  /** Connections that wait for accept(), and the limit of the backlog; null unless the socket listens. */
  readonly acceptQueue: { readonly length: number; readonly limit: number } | null;
  readonly pending: readonly PendingReport[];
  readonly findings: readonly Finding[];
}

/** A call of a socket. */
export interface CallReport {
  /** Counts up in its thread; a gap means that records were dropped. */
  readonly sequence: number;
  readonly socket: string;
  /** socket, bind, listen, connect, accept, send, recv, shutdown, close … */
  readonly call: string;
  /** Its arguments in short, without data: `127.0.0.1:8888`, `SO_REUSEADDR = 1`. */
  readonly detail: string;
  readonly start: number;
  /** Microseconds in the kernel call; 0 if it was not timed, as some calls of a busy program that no page shows. */
  readonly duration: number;
  /** What the call returned; null if it failed. Of a batch, the number of datagrams. */
  readonly result: number | null;
  /**
   * The bytes that the call has sent or received; null if it moves none, failed, or has left them in their queue, as
   * with `MSG_PEEK`.
   */
  readonly moved: { readonly bytes: number; readonly sent: boolean } | null;
  /** The code of its error, such as ECONNRESET. */
  readonly errno: string | null;
  /** Whether the call found nothing to do: EAGAIN or EINPROGRESS. The library waits then. */
  readonly wouldBlock: boolean;
  /** The line of the program that made the call. */
  readonly line: string | null;
  /** Only when payloads are on: base64, at most the limit of bytes, after the hook that redacts. */
  readonly payload: { readonly base64: string; readonly bytes: number } | null;
}

/** What TCP_INFO and the queues of the kernel say at one time. */
export interface Sample {
  readonly time: number;
  /** Microseconds. */
  readonly rtt: number | null;
  /** Segments. */
  readonly congestionWindow: number | null;
  /** Bytes per second. */
  readonly deliveryRate: number | null;
  readonly retransmits: number | null;
  readonly receiveQueue: number | null;
  readonly sendQueue: number | null;
  readonly bytesReceived: number;
  readonly bytesSent: number;
}

/** An option that has not the value that a new socket of its kind has. */
export interface OptionReport {
  readonly name: string;
  readonly value: string;
  readonly initial: string;
}

/** A socket's page. */
export interface SocketDetail {
  readonly socket: SocketReport;
  /** The other end, if it is in the table: a socket of a thread that has the inspector. */
  readonly other: SocketReport | null;
  readonly samples: readonly Sample[];
  /**
   * The latest calls of both ends, the oldest first, and the calls that made the listener of the connection. Those of an end
   * in another thread are missing while that thread is busy.
   */
  readonly calls: readonly CallReport[];
  readonly options: readonly OptionReport[];
}

/**
 * Sent about once a second to each page, and a line of --headless: the rows that changed since the last one, and the ids
 * of those that are gone. The first has all rows.
 */
export interface TableUpdate {
  readonly time: number;
  /** Whether it has all rows; then the receiver forgets what it had. */
  readonly whole: boolean;
  readonly changed: readonly SocketReport[];
  readonly removed: readonly string[];
  /** Records that the ring had no room for, since the start. */
  readonly dropped: number;
  readonly process: { readonly pid: number; readonly title: string; readonly node: string; readonly threads: number };
}

/** A line of --headless. */
export interface HeadlessUpdate extends TableUpdate {
  /** Looks at the table since the line before that have no line of their own, because the reader was slow. */
  readonly skipped: number;
}

// The requests. Each has the token, as ?token=… or as the first folder of its path: /TOKEN/events. Host and Origin are
// checked.
//
//   GET  /                          the page
//   GET  /assets/NAME               its script, style and icon
//   GET  /events                    server-sent events: `table` with a TableUpdate
//   GET  /events?socket=ID          `detail` with a SocketDetail, about twice a second, and `table`
//   GET  /api/sockets               all SocketReports
//   GET  /api/sockets/ID            its SocketDetail
//   GET  /api/lessons               LessonSummary[]
//   POST /api/lessons/NAME          starts a run of a lesson: a LessonRun
//   POST /api/runs/ID/next          does the next step: a LessonRun with one more step
//   DELETE /api/runs/ID             ends the run and closes its sockets

/** A lesson of the tour. */
export interface LessonSummary {
  /** tcp, udp, refused, lostPeer, backpressure, halfClose. */
  readonly name: string;
  readonly title: string;
  /** What is to be learnt, in one or two sentences. */
  readonly about: string;
  readonly steps: number;
}

/** What was observed of one socket of a lesson before or after a step. */
export interface LessonSocket {
  /** server, client, connection … */
  readonly name: string;
  readonly state: string;
  readonly local: string | null;
  readonly peer: string | null;
  readonly receiveQueue: number | null;
  readonly sendQueue: number | null;
  readonly acceptQueue: { readonly length: number; readonly limit: number } | null;
}

/** A packet that was seen during a step. */
export interface LessonPacket {
  readonly time: number;
  readonly from: string;
  readonly to: string;
  /** SYN, SYN ACK, ACK, PSH ACK, FIN ACK, RST, or UDP. */
  readonly flags: string;
  readonly bytes: number;
}

/** A step of a run. */
export interface LessonStep {
  readonly title: string;
  /** The line of code that ran. */
  readonly code: string;
  /** What it returned, or its error. */
  readonly result: string;
  /** What the kernel did, in plain words. */
  readonly text: string;
  readonly before: readonly LessonSocket[];
  readonly after: readonly LessonSocket[];
  /** Where they come from: a packet socket, or the counters of TCP_INFO (then `packets` is a count alone). */
  readonly packets: readonly LessonPacket[];
  readonly packetSource: "capture" | "counters" | "none";
  /** Packets that were seen and are not listed. */
  readonly morePackets?: number;
}

/** A lesson that runs. */
export interface LessonRun {
  readonly id: string;
  readonly lesson: string;
  readonly steps: readonly LessonStep[];
  readonly done: boolean;
  /** The titles of all steps, so that the page can draw what is to come. */
  readonly titles: readonly string[];
}
