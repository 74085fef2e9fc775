// The datagrams of a capture: of UDP, and of UNIX sockets, which get addresses of the loopback interface. If the sender
// and the receiver of a datagram are both in this thread, the capture has the datagram only once.

import { type Address, AF_UNIX, InetAddress, UnixAddress } from "../addr/index.js";
import { type CaptureInterface, UdpFlow } from "../pcapng/index.js";
import type { Calls } from "../sys/calls.js";
import { IPPROTO_IP, IPPROTO_UDP } from "../sys/constants.js";
import { decodeAddress } from "../sys/sockaddr.js";
import type { CallName } from "./callRing.js";
import { type CaptureAddresses, type IpAddress, ipAddress, resolveLocalAddress } from "./captureEnds.js";
import type { MovedBytes } from "./dataObserver.js";
import { addressOf } from "./kernelState.js";
import type { SocketRow } from "./socketRow.js";

/** Maximum number of entries in each Map and Set of this file. A full one is cleared. */
const MAX_ENTRIES = 10_000;
/** The largest datagram of UDP over IPv4. */
const MAX_DATAGRAM = 65_507;
const NOTHING = new Uint8Array(0);
/** UNIX sockets with a name get ports from this one on. */
const FIRST_PORT = 1024;
/** The detail that the record of a setsockopt() with UDP_SEGMENT has. */
const SEGMENT_OPTION = /^UDP_SEGMENT = (\d+)$/;

export class DatagramCapture {
  readonly #captureInterface: CaptureInterface;
  readonly #kernel: Calls;
  /** The flows. The key has the sender and the receiver of the first datagram. */
  readonly #flows = new Map<string, UdpFlow>();
  /** The pairs of sender and receiver of the datagrams that this thread has sent. */
  readonly #sent = new Set<string>();
  /** The ports of UNIX sockets in the capture, by the name of the socket. */
  readonly #unixPorts = new Map<string, number>();
  /** The value of the option UDP_SEGMENT, by socket. */
  readonly #segmentOptions = new WeakMap<SocketRow, number>();

  constructor(captureInterface: CaptureInterface, kernel: Calls) {
    this.#captureInterface = captureInterface;
    this.#kernel = kernel;
  }

  onMoved(row: SocketRow, { bytes = NOTHING, length, sent, address, datagramSize }: MovedBytes, comment: string): void {
    // For a sender without a name, the kernel returns an address without the family, which takes 2 bytes.
    const peerAddress = address === undefined || address.length < 2 ? undefined : decodeAddress(address);
    const hadAddress = address !== undefined;
    const ends =
      row.family === AF_UNIX ? this.#unixEnds(row, peerAddress, hadAddress) : this.#udpEnds(row, peerAddress);
    if (ends === undefined) return;
    const [from, to] = sent ? [ends.local, ends.peer] : [ends.peer, ends.local];
    const direction = `${from} ${to}`;
    if (sent) {
      if (this.#sent.size >= MAX_ENTRIES) this.#sent.clear();
      this.#sent.add(direction);
    } else if (this.#sent.has(direction)) {
      // The datagram was added when it was sent.
      return;
    }
    const reverse = this.#flows.get(`${to} ${from}`);
    const [flow, side] =
      reverse === undefined ? ([this.#flowOf(direction, from, to), "client"] as const) : ([reverse, "server"] as const);
    // Without a size in the control data of a send, the option UDP_SEGMENT of the socket applies.
    const segmentOption = sent ? this.#segmentOptions.get(row) : undefined;
    // One datagram of `length` bytes, or several of `step` bytes.
    const step = datagramSize || segmentOption || Math.max(1, length);
    // An empty datagram is added too.
    for (let at = 0; at === 0 || at < length; at += step) {
      const size = Math.min(step, length - at);
      const keptSize = Math.min(size, MAX_DATAGRAM);
      const text = keptSize < size ? `${comment}: a datagram of ${size} bytes` : comment;
      flow.datagram(side, bytes.subarray(at, at + keptSize), { comment: text, length: keptSize });
    }
  }

  onCall(row: SocketRow, call: CallName, result: number, detail: string): void {
    const size = call === "setsockopt" && result === 0 ? SEGMENT_OPTION.exec(detail)?.[1] : undefined;
    if (size !== undefined) this.#segmentOptions.set(row, Number(size));
  }

  clear(): void {
    this.#flows.clear();
    this.#sent.clear();
    this.#unixPorts.clear();
  }

  #flowOf(direction: string, client: IpAddress, server: IpAddress): UdpFlow {
    const known = this.#flows.get(direction);
    if (known !== undefined) return known;
    if (this.#flows.size >= MAX_ENTRIES) this.#flows.clear();
    const flow = new UdpFlow(this.#captureInterface, { client, server });
    this.#flows.set(direction, flow);
    return flow;
  }

  #udpEnds({ fd, protocol }: SocketRow, address: Address | undefined): CaptureAddresses | undefined {
    // ICMP sockets (ping) are of type SOCK_DGRAM too. The capture leaves them out.
    if (protocol !== IPPROTO_IP && protocol !== IPPROTO_UDP) return undefined;
    const peer = ipAddress(address ?? addressOf(this.#kernel, "getpeername", fd));
    const bound = ipAddress(addressOf(this.#kernel, "getsockname", fd));
    if (peer === undefined || bound === undefined) return undefined;
    const local = resolveLocalAddress(peer, bound);
    return local.family === peer.family ? { local, peer } : undefined;
  }

  /**
   * @param address the address that the call was given or has returned; undefined for none, and for one without a name
   * @param hadAddress true if the call was given or has returned an address, with or without a name
   */
  #unixEnds(
    { fd, number, pair }: SocketRow,
    address: Address | undefined,
    hadAddress: boolean,
  ): CaptureAddresses | undefined {
    if (pair !== undefined) {
      // The sockets of a pair have no names, so they are identified by their numbers. The line feed distinguishes a
      // number from a path.
      return { local: this.#addressOfName(`\n${number}`), peer: this.#addressOfName(`\n${pair.number}`) };
    }
    const peer = hadAddress ? address : addressOf(this.#kernel, "getpeername", fd);
    // The socket is not connected.
    if (!hadAddress && peer === undefined) return undefined;
    const captureAddress = (socketAddress: Address | undefined): InetAddress =>
      this.#addressOfName(socketAddress instanceof UnixAddress ? socketAddress.path : "");
    return { local: captureAddress(addressOf(this.#kernel, "getsockname", fd)), peer: captureAddress(peer) };
  }

  /** An IP address for a UNIX socket. Each name gets a port of its own. Sockets without a name get port 1. */
  #addressOfName(name: string): InetAddress {
    let port = name === "" ? 1 : this.#unixPorts.get(name);
    if (port === undefined) {
      if (this.#unixPorts.size >= MAX_ENTRIES) this.#unixPorts.clear();
      port = FIRST_PORT + this.#unixPorts.size;
      this.#unixPorts.set(name, port);
    }
    return new InetAddress("127.0.0.1", port);
  }
}
