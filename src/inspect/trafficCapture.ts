// The capture of a program: the data that its sockets send and receive, as packets in a file of the format pcapng.
//
// The inspector gets the data of calls, but no packets. So it makes packets (berkeley/pcapng): streamCapture.ts makes
// those of connections, datagramCapture.ts those of datagrams. The packets of IP sockets have the real addresses, and
// those of UNIX sockets have addresses of the loopback interface. Data that is never in the memory of the program
// (sendfile, splice) is recorded by its length alone.

import { Capture, CaptureFile } from "../pcapng/index.js";
import type { Calls } from "../sys/calls.js";
import { SOCK_DGRAM } from "../sys/constants.js";
import type { CallName } from "./callRing.js";
import type { DataObserver, MovedBytes } from "./dataObserver.js";
import { DatagramCapture } from "./datagramCapture.js";
import { claimEnvironment } from "./inspectOptions.js";
import type { SocketRow } from "./socketRow.js";
import { StreamCapture } from "./streamCapture.js";

/** The end of the capture file's comment. It names the data that the capture does not have. */
const MISSING =
  "Data that sendfile and splice have moved has its length, and no content. Bytes that Node.js itself moves are " +
  "missing: TLS, node:net.";

export class TrafficCapture implements DataObserver {
  readonly #file: CaptureFile;
  readonly #streams: StreamCapture;
  readonly #datagrams: DatagramCapture;

  /** @throws the error of open(2) */
  constructor(path: string, kernel: Calls) {
    this.#file = new CaptureFile(path, {
      onFailure: ({ message }) =>
        process.emitWarning(`The inspector ends the capture ${path}: ${message}`, "InspectorWarning"),
    });
    const about = `process ${process.pid}, ${process.argv[1] ?? ""}`;
    const capture = new Capture({
      write: (block) => this.#file.add(block),
      application: "berkeley",
      comment: `Sockets of ${about}. ${MISSING}`,
    });
    const captureInterface = capture.addInterface({ name: "berkeley", description: about });
    this.#streams = new StreamCapture(captureInterface, kernel);
    this.#datagrams = new DatagramCapture(captureInterface, kernel);
  }

  onMoved(row: SocketRow, moved: MovedBytes): void {
    const comment = commentOf(row, moved.call, moved.line);
    if (row.type === SOCK_DGRAM) this.#datagrams.onMoved(row, moved, comment);
    else this.#streams.onMoved(row, moved, comment);
  }

  onEnd(row: SocketRow, call: CallName, line: string | undefined): void {
    this.#streams.onEnd(row, `${commentOf(row, call, line)}: the peer has finished`);
  }

  onCall(row: SocketRow, call: CallName, result: number, detail: string, line: string | undefined): void {
    const comment = commentOf(row, call, line);
    if (row.type === SOCK_DGRAM) this.#datagrams.onCall(row, call, result, detail);
    else this.#streams.onCall(row, call, result, detail, comment);
  }

  onClosing(row: SocketRow): void {
    this.#streams.onClosing(row);
  }

  onPassed(row: SocketRow): void {
    this.#streams.onPassed(row);
  }

  onRemoved(row: SocketRow): void {
    this.#streams.onRemoved(row);
  }

  flush(): void {
    this.#file.flush();
  }

  close(): void {
    this.#file.close();
    this.#streams.clear();
    this.#datagrams.clear();
  }
}

/** The comment of a packet: the call, and the line of code of the call, or else the line that made the socket. */
function commentOf(row: SocketRow, call: CallName, line: string | undefined): string {
  if (line !== undefined) return `${call} at ${line}`;
  return row.line === undefined ? call : `${call}; socket made at ${row.line}`;
}

/**
 * The path of the capture of a thread. Each worker thread and each child process has a file of its own, because the
 * blocks of two writers would be mixed.
 */
export function capturePath(path: string, thread: number, env: NodeJS.ProcessEnv): string {
  const suffix = `${claimEnvironment(env) ? "" : `-${process.pid}`}${thread === 0 ? "" : `-thread${thread}`}`;
  const extension = path.endsWith(".pcapng") ? ".pcapng" : "";
  return suffix === "" ? path : `${path.slice(0, path.length - extension.length)}${suffix}${extension}`;
}
