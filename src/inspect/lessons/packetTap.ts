// The packets of a step. A packet socket on the loopback interface (packet(7)) captures them, which needs CAP_NET_RAW.
// Without that capability, the step shows the numbers of segments that TCP_INFO has counted.
//
// Each loopback packet is sent and received by this machine. A packet socket that is bound to one protocol gets only
// received packets, so it gets each of them once.

import { AF_PACKET } from "../../addr/index.js";
import { SocketError } from "../../errors/index.js";
import { SO_RCVBUF } from "../../options/index.js";
import { Socket } from "../../socket/index.js";
import { ETH_P_IP, MSG_DONTWAIT, SOCK_DGRAM } from "../../sys/constants.js";
import type { LessonPacket, LessonStep } from "../protocol.js";
import type { Scene, SegmentCounts } from "./scene.js";

/** Maximum number of bytes read of a packet: enough for the headers of IP and TCP with options, or an ICMP error. */
const SNAP_LENGTH = 128;
/** Maximum number of packets in the list of a step. */
const MAX_LISTED = 40;
/** Maximum number of packets that are read in a step, including those of other programs. */
const MAX_READ = 20_000;
/** SO_RCVBUF of the packet socket. */
const BUFFER_SIZE = 4 << 20;

// Protocol numbers of IP.
const ICMP = 1;
const TCP = 6;
const UDP = 17;
/** ICMP (RFC 792): the type "destination unreachable", and its code "port unreachable". */
const UNREACHABLE = 3;
const PORT_UNREACHABLE = 3;

export type Packets = Pick<LessonStep, "packets" | "packetSource" | "morePackets">;

const readHost = (bytes: Buffer, at: number): string => bytes.subarray(at, at + 4).join(".");

/** The names of TCP flags. PSH is left out for a segment without data. */
function flagsOf(bits: number, hasData: boolean): string {
  const names = [
    [0x02, "SYN"],
    [0x01, "FIN"],
    [0x04, "RST"],
    [0x08, "PSH"],
    [0x10, "ACK"],
  ] as const;
  return names
    .filter(([bit, name]) => (bits & bit) !== 0 && (name !== "PSH" || hasData))
    .map(([, name]) => name)
    .join(" ");
}

/** Reads a packet of TCP, UDP or ICMP over IPv4; undefined for all others, and for a packet without one of `ports`. */
export function readPacket(bytes: Buffer, ports: ReadonlySet<number>, time: number): LessonPacket | undefined {
  // The header of IP has 20 bytes or more. It begins with the version and its own length in 32-bit words (4 bits each).
  if (bytes.length < 20 || bytes[0]! >> 4 !== 4) return undefined;
  const headerLength = (bytes[0]! & 15) * 4;
  const totalLength = bytes.readUInt16BE(2);
  const protocol = bytes[9]!;
  const [source, destination] = [readHost(bytes, 12), readHost(bytes, 16)];
  const segment = bytes.subarray(headerLength);
  if (protocol === ICMP) return readUnreachable(segment, ports, time, source, destination);
  if ((protocol !== TCP && protocol !== UDP) || segment.length < (protocol === TCP ? 20 : 8)) return undefined;
  const [from, to] = [segment.readUInt16BE(0), segment.readUInt16BE(2)];
  if (!ports.has(from) && !ports.has(to)) return undefined;
  const ends = { time, from: `${source}:${from}`, to: `${destination}:${to}` };
  if (protocol === UDP) return { ...ends, flags: "UDP", bytes: segment.readUInt16BE(4) - 8 };
  const dataLength = totalLength - headerLength - (segment[12]! >> 4) * 4;
  const bits = segment[13]!;
  // A window of 0 stops the sender, but not in a RST (0x04) or SYN (0x02).
  const windowText = segment.readUInt16BE(14) === 0 && (bits & 0x06) === 0 ? ", window 0" : "";
  return { ...ends, flags: `${flagsOf(bits, dataLength > 0)}${windowText}`, bytes: Math.max(0, dataLength) };
}

/**
 * Reads the ICMP error "destination unreachable"; undefined for other messages. The data of the error begins with the
 * headers of the packet that caused the error (RFC 792).
 */
function readUnreachable(
  icmp: Buffer,
  ports: ReadonlySet<number>,
  time: number,
  source: string,
  destination: string,
): LessonPacket | undefined {
  // The header of ICMP has 8 bytes. Then come the IP header (20 bytes or more) and 8 bytes of the packet that failed.
  if (icmp.length < 8 + 20 + 8 || icmp[0] !== UNREACHABLE) return undefined;
  const packet = icmp.subarray(8);
  const headerLength = (packet[0]! & 15) * 4;
  if (packet.length < headerLength + 4) return undefined;
  const [from, to] = [packet.readUInt16BE(headerLength), packet.readUInt16BE(headerLength + 2)];
  if (!ports.has(from) && !ports.has(to)) return undefined;
  const unreachable = icmp[1] === PORT_UNREACHABLE ? "port" : "destination";
  // The error goes back to the sender of the packet.
  return {
    time,
    from: `${source}:${to}`,
    to: `${destination}:${from}`,
    flags: `ICMP ${unreachable} unreachable`,
    bytes: 0,
  };
}

/** Captures the packets of one step. */
export class PacketTap {
  /** The packet socket; undefined if the process may not have one. */
  #socket: Socket | undefined;
  /** The counters of TCP_INFO when the capture began. */
  #countsBefore: readonly SegmentCounts[] = [];
  readonly #scene: Scene;

  constructor(scene: Scene) {
    this.#scene = scene;
  }

  async start(): Promise<void> {
    this.#countsBefore = this.#scene.counts();
    let socket: Socket;
    try {
      socket = new Socket(AF_PACKET, SOCK_DGRAM);
    } catch (error) {
      if (error instanceof SocketError) return;
      throw error;
    }
    try {
      socket.setsockopt(SO_RCVBUF, BUFFER_SIZE);
      // The socket was made without a protocol. So it captures nothing of other interfaces before this bind().
      await socket.bind({ family: AF_PACKET, protocol: ETH_P_IP, ifindex: "lo" });
      this.#socket = socket;
    } catch (error) {
      socket.close();
      // A sandbox may allow socket() and refuse this call.
      if (!(error instanceof SocketError)) throw error;
    }
  }

  /** Ends the capture. Returns the packets since `start()`. */
  async stop(): Promise<Packets> {
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket === undefined) return this.#countedSegments();
    const packets: LessonPacket[] = [];
    let notListed = 0;
    try {
      for (let read = 0; read < MAX_READ; read++) {
        // oxlint-disable-next-line no-await-in-loop -- packets come one after another
        const bytes = await socket.recv(SNAP_LENGTH, { flags: MSG_DONTWAIT });
        const packet = readPacket(bytes, this.#scene.ports, Date.now());
        if (packet === undefined) continue;
        if (packets.length < MAX_LISTED) packets.push(packet);
        else notListed++;
      }
    } catch (error) {
      // Mostly EAGAIN: no packet is left.
      if (!(error instanceof SocketError)) throw error;
    } finally {
      socket.close();
    }
    return { packets, packetSource: "capture", ...(notListed > 0 ? { morePackets: notListed } : {}) };
  }

  /** The segments that TCP_INFO has counted since `start()`. */
  #countedSegments(): Packets {
    const packets: LessonPacket[] = [];
    const counts = this.#scene.counts();
    for (const { name, local, peer, segmentsOut, bytesOut } of counts) {
      const before = this.#countsBefore.find((count) => count.name === name);
      const segments = segmentsOut - (before?.segmentsOut ?? 0);
      if (segments <= 0 || local === null || peer === null) continue;
      packets.push({
        time: Date.now(),
        from: local,
        to: peer,
        flags: `${segments} ${segments === 1 ? "segment" : "segments"}`,
        bytes: bytesOut - (before?.bytesOut ?? 0),
      });
    }
    return { packets, packetSource: counts.length > 0 ? "counters" : "none" };
  }
}
