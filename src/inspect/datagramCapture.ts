// The datagrams of a capture: of UDP, and of UNIX sockets, which get addresses of the loopback interface. If both
// sender and receiver of a datagram are in this thread, the capture has the datagram once.

import { type Address, AF_UNIX, InetAddress, UnixAddress } from "../addr/index.js";
import { type CaptureInterface, UdpFlow } from "../pcapng/index.js";
import type { Calls } from "../sys/calls.js";
import { IPPROTO_IP, IPPROTO_UDP } from "../sys/constants.js";
import { decodeAddress } from "../sys/sockaddr.js";
import type { CallName } from "./callRing.js";
import { type CaptureAddresses, ipAddress, resolveLocalAddress } from "./captureEnds.js";
import { addressOf } from "./kernelState.js";
import type { MovedBytes } from "./recording.js";
import type { SocketRow } from "./socketRow.js";

/** Maximum number of entries in each of the tables. A full table is cleared. */
const MAX_FLOWS = 10_000;
/** The largest datagram of UDP over IPv4. */
const MAX_DATAGRAM = 65_507;
const NOTHING = new Uint8Array(0);
/** The detail that the record of a setsockopt() with UDP_SEGMENT has. */
const SEGMENT_OPTION = /^UDP_SEGMENT = (\d+)$/;

export class DatagramCapture {
  readonly #captureInterface: CaptureInterface;
  readonly #kernel: Calls;
  /** By sender and receiver of the first datagram of the flow. */
  readonly #flows = new Map<string, UdpFlow>();
  /** The pairs of sender and receiver of the datagrams that this thread has sent. */
  readonly #sent = new Set<string>();
  /** The ports that the capture gives UNIX sockets, by name. */
  readonly #ports = new Map<string, number>();
  /** The value of the option UDP_SEGMENT, by socket. */
  readonly #segments = new WeakMap<SocketRow, number>();

  constructor(captureInterface: CaptureInterface, kernel: Calls) {
    this.#captureInterface = captureInterface;
    this.#kernel = kernel;
  }

  onMoved(row: SocketRow, { bytes = NOTHING, length, sent, address, segment }: MovedBytes, comment: string): void {
    const far = address === undefined || address.length < 2 ? undefined : decodeAddress(address);
    const ends = row.family === AF_UNIX ? this.#unixEnds(row, far, address !== undefined) : this.#udpEnds(row, far);
    if (ends === undefined) return;
    const [from, to] = sent ? [ends.local, ends.peer] : [ends.peer, ends.local];
    const direction = `${from} ${to}`;
    if (sent) {
      if (this.#sent.size >= MAX_FLOWS) this.#sent.clear();
      this.#sent.add(direction);
    } else if (this.#sent.has(direction)) {
      return;
    }
    const reverse = this.#flows.get(`${to} ${from}`);
    const [flow, side] =
      reverse === undefined ? ([this.#flow(direction, from, to), "client"] as const) : ([reverse, "server"] as const);
    // With UDP_SEGMENT or UDP_GRO, the call has moved several datagrams of `size` bytes.
    const size = segment > 0 ? segment : sent ? (this.#segments.get(row) ?? 0) : 0;
    const step = size > 0 ? size : Math.max(1, length);
    for (let at = 0; at === 0 || at < length; at += step) {
      const whole = Math.min(step, length - at);
      const kept = Math.min(whole, MAX_DATAGRAM);
      const text = kept < whole ? `${comment}: a datagram of ${whole} bytes` : comment;
      flow.datagram(side, bytes.subarray(at, at + kept), { comment: text, length: kept });
    }
  }

  onCall(row: SocketRow, call: CallName, result: number, detail: string): void {
    const size = call === "setsockopt" && result === 0 ? SEGMENT_OPTION.exec(detail)?.[1] : undefined;
    if (size !== undefined) this.#segments.set(row, Number(size));
  }

  clear(): void {
    this.#flows.clear();
    this.#sent.clear();
    this.#ports.clear();
  }

  #flow(direction: string, client: CaptureAddresses["local"], server: CaptureAddresses["local"]): UdpFlow {
    const known = this.#flows.get(direction);
    if (known !== undefined) return known;
    if (this.#flows.size >= MAX_FLOWS) this.#flows.clear();
    const flow = new UdpFlow(this.#captureInterface, { client, server });
    this.#flows.set(direction, flow);
    return flow;
  }

  #udpEnds({ fd, protocol }: SocketRow, address: Address | undefined): CaptureAddresses | undefined {
    // ICMP sockets (ping) are of type SOCK_DGRAM too, and are not recorded.
    if (protocol !== IPPROTO_IP && protocol !== IPPROTO_UDP) return undefined;
    const peer = ipAddress(address ?? addressOf(this.#kernel, "getpeername", fd));
    const near = ipAddress(addressOf(this.#kernel, "getsockname", fd));
    if (peer === undefined || near === undefined) return undefined;
    const local = resolveLocalAddress(peer, near);
    return local.family === peer.family ? { local, peer } : undefined;
  }

  /** @param hadAddress whether the call had an address. For a sender without a name, `address` is undefined anyway */
  #unixEnds(
    { fd, number, pair }: SocketRow,
    address: Address | undefined,
    hadAddress: boolean,
  ): CaptureAddresses | undefined {
    const named = (of: Address | undefined): InetAddress => this.#unixAddress(of instanceof UnixAddress ? of.path : "");
    if (pair !== undefined) {
      return { local: this.#unixAddress(`\n${number}`), peer: this.#unixAddress(`\n${pair.number}`) };
    }
    const far = hadAddress ? address : addressOf(this.#kernel, "getpeername", fd);
    if (!hadAddress && far === undefined) return undefined;
    return { local: named(addressOf(this.#kernel, "getsockname", fd)), peer: named(far) };
  }

  /** An address for the capture, with a port for each name. The port is 1 for sockets without a name. */
  #unixAddress(name: string): InetAddress {
    let port = name === "" ? 1 : this.#ports.get(name);
    if (port === undefined) {
      if (this.#ports.size >= MAX_FLOWS) this.#ports.clear();
      this.#ports.set(name, (port = 1024 + this.#ports.size));
    }
    return new InetAddress("127.0.0.1", port);
  }
}
