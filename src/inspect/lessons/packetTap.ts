// The packets of a step. A packet socket on the loopback interface (packet(7)) captures them, which needs CAP_NET_RAW.
// Without it, the step shows the numbers of segments in TCP_INFO.
//
// A packet socket for one protocol gets received packets and no sent ones. So it gets each loopback packet once.

import { AF_PACKET } from "../../addr/index.js";
import { SocketError } from "../../errors/index.js";
import { SO_RCVBUF } from "../../options/index.js";
import { Socket } from "../../socket/index.js";
import { ETH_P_IP, MSG_DONTWAIT, SOCK_DGRAM } from "../../sys/constants.js";
import type { LessonPacket, LessonStep } from "../protocol.js";
import type { Scene, SegmentCounts } from "./scene.js";

/** Bytes of a packet that are read: the headers of IP and TCP with all options, or an ICMP error. */
const SNAP_LENGTH = 128;
/** Maximum number of packets in the list of a step. */
const MAX_LISTED = 40;
/** Maximum number of packets that are read in a step, including those of other programs. */
const MAX_READ = 20_000;
/** SO_RCVBUF of the packet socket. */
const BUFFER = 4 << 20;

const ICMP = 1;
const TCP = 6;
const UDP = 17;
const UNREACHABLE = 3;

export type Packets = Pick<LessonStep, "packets" | "packetSource" | "morePackets">;

const host = (bytes: Buffer, at: number): string => bytes.subarray(at, at + 4).join(".");

/** The names of TCP flags. PSH is left out for a segment without data. */
function flagsOf(bits: number, hasData: boolean): string {
  const names = [
    [0x02, "SYN"],
    [0x01, "FIN"],
    [0x04, "RST"],
    [0x08, "PSH"],
    [0x10, "ACK"],
  ] as const;
  const found = names
    .filter(([bit, name]) => (bits & bit) !== 0 && (name !== "PSH" || hasData))
    .map(([, name]) => name);
  return found.join(" ");
}

/** Reads an IPv4 packet; undefined if none of `ports` is its source or destination. */
export function readPacket(bytes: Buffer, ports: ReadonlySet<number>, time: number): LessonPacket | undefined {
  if (bytes.length < 20 || bytes[0]! >> 4 !== 4) return undefined;
  const start = (bytes[0]! & 15) * 4;
  const total = bytes.readUInt16BE(2);
  const protocol = bytes[9]!;
  const [source, destination] = [host(bytes, 12), host(bytes, 16)];
  if (protocol === ICMP) return readUnreachable(bytes.subarray(start), ports, time, source, destination);
  if ((protocol !== TCP && protocol !== UDP) || bytes.length < start + (protocol === TCP ? 20 : 8)) return undefined;
  const [from, to] = [bytes.readUInt16BE(start), bytes.readUInt16BE(start + 2)];
  if (!ports.has(from) && !ports.has(to)) return undefined;
  const ends = { time, from: `${source}:${from}`, to: `${destination}:${to}` };
  if (protocol === UDP) return { ...ends, flags: "UDP", bytes: bytes.readUInt16BE(start + 4) - 8 };
  const data = total - start - (bytes[start + 12]! >> 4) * 4;
  const bits = bytes[start + 13]!;
  // A window of 0 stops the sender, but not in a RST or SYN (bits 0x06).
  const windowText = bytes.readUInt16BE(start + 14) === 0 && (bits & 0x06) === 0 ? ", window 0" : "";
  return { ...ends, flags: `${flagsOf(bits, data > 0)}${windowText}`, bytes: Math.max(0, data) };
}

/** Reads an ICMP error, which contains the beginning of the packet that caused it (RFC 792). */
function readUnreachable(
  icmp: Buffer,
  ports: ReadonlySet<number>,
  time: number,
  source: string,
  destination: string,
): LessonPacket | undefined {
  if (icmp.length < 36 || icmp[0] !== UNREACHABLE) return undefined;
  const cause = icmp.subarray(8);
  const start = (cause[0]! & 15) * 4;
  if (cause.length < start + 4) return undefined;
  const [from, to] = [cause.readUInt16BE(start), cause.readUInt16BE(start + 2)];
  if (!ports.has(from) && !ports.has(to)) return undefined;
  const unreachable = icmp[1] === 3 ? "port" : "destination";
  return {
    time,
    from: `${source}:${to}`,
    to: `${destination}:${from}`,
    flags: `ICMP ${unreachable} unreachable`,
    bytes: 0,
  };
}

export class PacketTap {
  #socket: Socket | undefined;
  #counts: readonly SegmentCounts[] = [];
  readonly #scene: Scene;

  constructor(scene: Scene) {
    this.#scene = scene;
  }

  async start(): Promise<void> {
    this.#counts = this.#scene.counts();
    let socket: Socket;
    try {
      socket = new Socket(AF_PACKET, SOCK_DGRAM);
    } catch (error) {
      if (error instanceof SocketError) return;
      throw error;
    }
    try {
      socket.setsockopt(SO_RCVBUF, BUFFER);
      // The socket was made without a protocol, so it captures nothing before bind(), on no interface.
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
    if (socket === undefined) return this.#counted();
    const packets: LessonPacket[] = [];
    let more = 0;
    try {
      for (let read = 0; read < MAX_READ; read++) {
        // oxlint-disable-next-line no-await-in-loop -- packets come one after another
        const bytes = await socket.recv(SNAP_LENGTH, { flags: MSG_DONTWAIT });
        const packet = readPacket(bytes, this.#scene.ports, Date.now());
        if (packet === undefined) continue;
        if (packets.length < MAX_LISTED) packets.push(packet);
        else more++;
      }
    } catch (error) {
      if (!(error instanceof SocketError)) throw error;
    } finally {
      socket.close();
    }
    return { packets, packetSource: "capture", ...(more > 0 ? { morePackets: more } : {}) };
  }

  /** The segments that TCP_INFO has counted since `start()`. */
  #counted(): Packets {
    const packets: LessonPacket[] = [];
    const counts = this.#scene.counts();
    for (const { name, local, peer, segmentsOut, bytesOut } of counts) {
      const before = this.#counts.find((one) => one.name === name);
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
