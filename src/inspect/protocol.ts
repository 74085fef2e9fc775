// The data of the inspector: the types that sockets() returns, that --headless writes as JSON lines, and that the page
// gets. All of them are plain JSON. Times are milliseconds as of Date.now(), with fractions.

/** A problem of a socket. */
export interface Finding {
  readonly kind: "leak" | "idle" | "stalled" | "overflow" | "busy";
  /** A sentence for people: the figure that was seen, and its meaning. */
  readonly text: string;
}

/** A call that waits. */
export interface PendingReport {
  readonly call: string;
  /** Milliseconds. */
  readonly waited: number;
  readonly line: string | null;
}

/** Bytes and calls in one direction. */
export interface TransferReport {
  readonly bytes: number;
  readonly calls: number;
}

/** A socket, as a row of the table. `fd` is -1 for a closed socket, or if the descriptor is not known yet (TLS). */
export interface SocketReport {
  /** `THREAD:NUMBER`, unique in the process. */
  readonly id: string;
  /** 0 for the main thread; else the thread id of the worker. */
  readonly thread: number;
  readonly fd: number;
  /** AF_INET, AF_INET6, AF_UNIX and others; a number if the inspector has no name for the family. */
  readonly family: string;
  /** SOCK_STREAM, SOCK_DGRAM and others. */
  readonly type: string;
  /** For TCP a state such as LISTEN; for other sockets open, bound, connected or listening. After close(): closed. */
  readonly state: string;
  readonly local: string | null;
  readonly peer: string | null;
  /** The line of the program that made the socket: file, line and column. */
  readonly line: string | null;
  /** When the socket was made. */
  readonly since: number;
  readonly received: TransferReport;
  readonly sent: TransferReport;
  /** Bytes in the queues of the kernel; null if the kernel reports none. */
  readonly receiveQueue: number | null;
  readonly sendQueue: number | null;
  /** The number of connections in the accept queue, and its limit; null unless the socket is a TCP listener. */
  readonly acceptQueue: { readonly length: number; readonly limit: number } | null;
  readonly pending: readonly PendingReport[];
  readonly findings: readonly Finding[];
}

/** A call of a socket. */
export interface CallReport {
  /** Increases with each recorded call of a thread. Calls of other sockets and dropped records leave gaps. */
  readonly sequence: number;
  /** The id of the socket. */
  readonly socket: string;
  /** socket, bind, listen, connect, accept, send, recv, shutdown, close; and others. */
  readonly call: string;
  /** The arguments in short, without data: `127.0.0.1:8888`, `SO_REUSEADDR = 1`. */
  readonly detail: string;
  readonly start: number;
  /**
   * Microseconds in the kernel; 0 if the call was not timed. In a busy program only some calls are timed, unless a page
   * shows a socket.
   */
  readonly duration: number;
  /** The result of the call, for a batch the number of datagrams; null if the call failed. */
  readonly result: number | null;
  /**
   * The bytes that the call has sent or received; null for other calls, after a failure, and with `MSG_PEEK` or
   * `MSG_ERRQUEUE`.
   */
  readonly moved: { readonly bytes: number; readonly sent: boolean } | null;
  /** The code of the error, such as ECONNRESET. */
  readonly errno: string | null;
  /** Whether the call would block: EAGAIN, EALREADY or EINPROGRESS. Then the library waits. */
  readonly wouldBlock: boolean;
  /** The line of the program that made the call. */
  readonly line: string | null;
  /**
   * Only with the option `payloads`: the first bytes of the data (or the bytes that `redact` has returned) in base64,
   * and the number of all bytes of the data.
   */
  readonly payload: { readonly base64: string; readonly bytes: number } | null;
}

/** Values of TCP_INFO and of the queues of the kernel at one time. */
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

/** An option whose value differs from that of a new socket. */
export interface OptionReport {
  readonly name: string;
  readonly value: string;
  /** The value of a new socket. */
  readonly initial: string;
}

/** All data about one socket. */
export interface SocketDetail {
  readonly socket: SocketReport;
  /** The other end, if it is in the table: a socket of a thread that has the inspector. */
  readonly other: SocketReport | null;
  readonly samples: readonly Sample[];
  /**
   * The latest calls of both ends, the oldest first, and the calls that made the listener of the connection. While the
   * thread of the other end is busy, its calls are missing.
   */
  readonly calls: readonly CallReport[];
  readonly options: readonly OptionReport[];
}

/**
 * The changes of the table since the last update. Each page gets one about once a second, and --headless writes one in
 * each line. The first update has all rows.
 */
export interface TableUpdate {
  readonly time: number;
  /** Whether `changed` has all rows. Then the receiver removes its rows first. */
  readonly whole: boolean;
  readonly changed: readonly SocketReport[];
  /** The ids of rows that were removed. */
  readonly removed: readonly string[];
  /** The number of call records that were overwritten, since the start. */
  readonly dropped: number;
  readonly process: { readonly pid: number; readonly title: string; readonly node: string; readonly threads: number };
}

/** A line of --headless. */
export interface HeadlessUpdate extends TableUpdate {
  /** The number of updates that were left out since the previous line, because the reader was slow. */
  readonly skipped: number;
}

// The requests. Each has the token, as ?token=… or as the first folder of the path: /TOKEN/events. The server checks
// Host and Origin, too.
//
//   GET  /                          the page
//   GET  /assets/NAME               a script, style or icon of the page
//   GET  /events                    server-sent events: `table` with a TableUpdate
//   GET  /events?socket=ID          `detail` with a SocketDetail, about twice a second, and `table`
//   GET  /api/sockets               all SocketReports
//   GET  /api/sockets/ID            a SocketDetail
//   GET  /api/lessons               LessonSummary[]
//   POST /api/lessons/NAME          starts a run of a lesson: a LessonRun
//   POST /api/runs/ID/next          does the next step: a LessonRun with one more step
//   DELETE /api/runs/ID             ends the run and closes its sockets

/** A lesson of the tour, and the number of its steps. */
export interface LessonSummary {
  /** tcp, udp, refused, lostPeer, backpressure, halfClose. */
  readonly name: string;
  readonly title: string;
  /** The subject, in one or two sentences. */
  readonly about: string;
  readonly steps: number;
}

/** The state of one socket of a lesson before or after a step. */
export interface LessonSocket {
  /** server, client, connection; and others. */
  readonly name: string;
  readonly state: string;
  readonly local: string | null;
  readonly peer: string | null;
  readonly receiveQueue: number | null;
  readonly sendQueue: number | null;
  readonly acceptQueue: { readonly length: number; readonly limit: number } | null;
}

/** A packet of a step. With `packetSource` "counters", several segments together. */
export interface LessonPacket {
  /** When the packet was read, at the end of the step. */
  readonly time: number;
  readonly from: string;
  readonly to: string;
  /** For example SYN, SYN ACK, PSH ACK, RST or UDP; or `3 segments`. */
  readonly flags: string;
  readonly bytes: number;
}

/** A step of a run. */
export interface LessonStep {
  readonly title: string;
  /** The code that the page shows. */
  readonly code: string;
  /** The result of the code, or its error. */
  readonly result: string;
  /** An explanation of the kernel's work. */
  readonly text: string;
  readonly before: readonly LessonSocket[];
  readonly after: readonly LessonSocket[];
  readonly packets: readonly LessonPacket[];
  /**
   * `capture`: a packet socket has received the packets. `counters`: TCP_INFO has counted segments. `none`: there is no
   * packet socket, and no TCP socket to count for.
   */
  readonly packetSource: "capture" | "counters" | "none";
  /** The number of packets that were captured and are not listed. */
  readonly morePackets?: number;
}

/** A run of a lesson. */
export interface LessonRun {
  readonly id: string;
  readonly lesson: string;
  readonly steps: readonly LessonStep[];
  readonly done: boolean;
  /** The titles of all steps, also of those that have not run. */
  readonly titles: readonly string[];
}
