// Writes the capture of a proxy: the connections between clients and the proxy, with their addresses. A connection
// without IP addresses is recorded with loopback addresses, and a comment with its name.

import { type Address, Inet6Address, InetAddress } from "berkeley";
import { Capture, CaptureFile, type CaptureInterface, TcpFlow, UdpFlow } from "berkeley/pcapng";

import { Failure, UsageError } from "../frame/failure.js";

export class Recorder {
  readonly #file: CaptureFile;
  readonly #interface: CaptureInterface;
  #unnamedCount = 0;

  /** @param onFailure called once, when a write fails; the file then ends with the last complete packet */
  constructor(path: string, about: string, version: string, onFailure: (error: Error) => void) {
    const onWriteError = ({ message }: Error): void =>
      onFailure(new Failure(`cannot write ${JSON.stringify(path)}: ${message}`));
    try {
      this.#file = new CaptureFile(path, { onFailure: onWriteError });
    } catch (error) {
      throw new UsageError(`--record is ${JSON.stringify(path)}, which can't be written: ${(error as Error).message}`);
    }
    const capture = new Capture({
      write: (block) => this.#file.add(block),
      application: `berkeley ${version}`,
      comment: about,
    });
    this.#interface = capture.addInterface({ name: "proxy", description: about });
  }

  /** Starts the capture of a connection. */
  tcp(client: Address | undefined, server: Address | undefined, comment: string): TcpFlow {
    const flow = new TcpFlow(this.#interface, this.#endpoints(client, server));
    flow.open({ comment });
    return flow;
  }

  udp(client: Address | undefined, server: Address | undefined): UdpFlow {
    return new UdpFlow(this.#interface, this.#endpoints(client, server));
  }

  close(): void {
    this.#file.close();
  }

  #endpoints(
    client: Address | undefined,
    server: Address | undefined,
  ): { client: InetAddress; server: InetAddress } | { client: Inet6Address; server: Inet6Address } {
    if (client instanceof InetAddress && server instanceof InetAddress) return { client, server };
    if (client instanceof Inet6Address && server instanceof Inet6Address) return { client, server };
    // Each connection gets a port of its own, so that a reader of the capture can separate them.
    const port = 1024 + (this.#unnamedCount++ % 60_000);
    return { client: new InetAddress("127.0.0.1", port), server: new InetAddress("127.0.0.1", 1) };
  }
}
