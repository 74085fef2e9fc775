// Writes the capture of a proxy: the connections between clients and the proxy, with their addresses. A UNIX connection
// is recorded with loopback addresses, and a comment with its name.

import { closeSync, ftruncateSync, openSync, writeSync } from "node:fs";

import { type Address, Inet6Address, InetAddress } from "berkeley";
import { Capture, type CaptureInterface, TcpFlow, UdpFlow } from "berkeley/pcapng";

import { Failure, UsageError } from "../frame/failure.js";

/** Buffered data is written at this number of bytes, or after `PERIOD` ms. */
const BUFFER = 256 << 10;
const PERIOD = 250;

export class Recorder {
  readonly #path: string;
  readonly #file: number;
  readonly #interface: CaptureInterface;
  readonly #onFailure: (error: Error) => void;
  readonly #timer: NodeJS.Timeout;
  #blocks: Buffer[] = [];
  #kept = 0;
  /** Bytes of complete blocks in the file. */
  #written = 0;
  #open = true;
  #unnamed = 0;

  /** @param onFailure called once when a write fails. The file then ends with the last complete packet */
  constructor(path: string, about: string, version: string, onFailure: (error: Error) => void) {
    this.#path = path;
    this.#onFailure = onFailure;
    try {
      this.#file = openSync(path, "w");
    } catch (error) {
      throw new UsageError(`--record is ${JSON.stringify(path)}, which can't be written: ${(error as Error).message}`);
    }
    const capture = new Capture({
      write: (block) => this.#keep(block),
      application: `berkeley ${version}`,
      comment: about,
    });
    this.#interface = capture.addInterface({ name: "proxy", description: about });
    this.#timer = setInterval(() => this.flush(), PERIOD);
    this.#timer.unref();
  }

  /** Starts the capture of a connection. */
  tcp(client: Address | undefined, server: Address | undefined, comment: string): TcpFlow {
    const flow = new TcpFlow(this.#interface, this.#ends(client, server));
    flow.open({ comment });
    return flow;
  }

  udp(client: Address | undefined, server: Address | undefined): UdpFlow {
    return new UdpFlow(this.#interface, this.#ends(client, server));
  }

  /** Writes the buffered data. */
  flush(): void {
    if (!this.#open || this.#kept === 0) return;
    const bytes = Buffer.concat(this.#blocks);
    this.#blocks = [];
    this.#kept = 0;
    let at = 0;
    try {
      while (at < bytes.length) at += writeSync(this.#file, bytes, at, bytes.length - at);
      this.#written += bytes.length;
    } catch (error) {
      this.#fail(error as Error, bytes, at);
    }
  }

  close(): void {
    this.flush();
    clearInterval(this.#timer);
    if (!this.#open) return;
    this.#open = false;
    closeSync(this.#file);
  }

  #keep(block: Buffer): void {
    if (!this.#open) return;
    this.#blocks.push(block);
    this.#kept += block.length;
    if (this.#kept >= BUFFER) this.flush();
  }

  /** Truncates the file after its last complete block. */
  #fail(error: Error, bytes: Buffer, written: number): void {
    let whole = 0;
    while (whole + 8 <= written) {
      const next = whole + bytes.readUInt32LE(whole + 4);
      if (next > written) break;
      whole = next;
    }
    this.#open = false;
    clearInterval(this.#timer);
    try {
      ftruncateSync(this.#file, this.#written + whole);
    } catch {
      // A device can't be truncated.
    }
    closeSync(this.#file);
    this.#onFailure(new Failure(`cannot write ${JSON.stringify(this.#path)}: ${error.message}`));
  }

  #ends(
    client: Address | undefined,
    server: Address | undefined,
  ): { client: InetAddress; server: InetAddress } | { client: Inet6Address; server: Inet6Address } {
    if (client instanceof InetAddress && server instanceof InetAddress) return { client, server };
    if (client instanceof Inet6Address && server instanceof Inet6Address) return { client, server };
    const port = 1024 + (this.#unnamed++ % 60_000);
    return { client: new InetAddress("127.0.0.1", port), server: new InetAddress("127.0.0.1", 1) };
  }
}
