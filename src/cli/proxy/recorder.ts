// Writes the capture of a proxy: the traffic between clients and the proxy, with their addresses. In the capture the
// proxy is the server. A connection without IP addresses is recorded with loopback addresses; its comment has the name
// of the client.

import { type Address, Inet6Address, InetAddress } from "berkeley";
import { Capture, CaptureFile, type CaptureInterface, TcpFlow, UdpFlow } from "berkeley/pcapng";

import { Failure, UsageError } from "../frame/failure.js";

export class Recorder {
  readonly #file: CaptureFile;
  readonly #interface: CaptureInterface;
  /** The number of recorded connections without IP addresses. */
  #withoutAddressCount = 0;

  /**
   * @param about the description in the file
   * @param onFailure called once, when a write fails; the file then ends with the last complete packet
   */
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
  startTcp(client: Address | undefined, proxy: Address | undefined, comment: string): TcpFlow {
    const flow = new TcpFlow(this.#interface, this.#recordedAddresses(client, proxy));
    flow.open({ comment });
    return flow;
  }

  /** Starts the capture of the datagrams of a client. */
  startUdp(client: Address | undefined, proxy: Address | undefined): UdpFlow {
    return new UdpFlow(this.#interface, this.#recordedAddresses(client, proxy));
  }

  close(): void {
    this.#file.close();
  }

  #recordedAddresses(
    client: Address | undefined,
    proxy: Address | undefined,
  ): { client: InetAddress; server: InetAddress } | { client: Inet6Address; server: Inet6Address } {
    if (client instanceof InetAddress && proxy instanceof InetAddress) return { client, server: proxy };
    if (client instanceof Inet6Address && proxy instanceof Inet6Address) return { client, server: proxy };
    // Each connection gets a client port of its own, so that a reader of the capture can separate the connections.
    const port = 1024 + (this.#withoutAddressCount++ % 60_000);
    return { client: new InetAddress("127.0.0.1", port), server: new InetAddress("127.0.0.1", 1) };
  }
}
