// The packets of a step: from a packet socket on the loopback interface (packet(7)), which needs CAP_NET_RAW. Without it,
// the segments that TCP_INFO counts.
//
// A packet socket for one protocol gets what an interface receives, so each packet on the loopback interface comes once.

import { AF_PACKET } from "../../addr/index.js";
import { SocketError } from "../../errors/index.js";
import { SO_RCVBUF } from "../../options/index.js";
import { Socket } from "../../socket/index.js";
import { ETH_P_IP, MSG_DONTWAIT, SOCK_DGRAM } from "../../sys/constants.js";
import type { LessonPacket, LessonStep } from "../protocol.js";
import type { Scene, SegmentCounts } from "./scene.js";

/** Bytes of a packet that are read: the headers of IP and TCP with all options, or an ICMP error. */
const SNAPPED = 128;
/** Packets that a step lists. */
const LISTED = 40;
const MOST_READ = 20_000;
const BUFFER = 4 << 20;

const ICMP = 1;
const TCP = 6;
const UDP = 17;
const UNREACHABLE = 3;

export type Packets = Pick<LessonStep, "packets" | "packetSource" | "morePackets">;

const host = (bytes: Buffer, at: number): string => bytes.subarray(at, at + 4).join(".");

function flagsOf(bits: number, data: boolean): string {
  const names = [
    [0x02, "SYN"],
    [0x01, "FIN"],
    [0x04, "RST"],
    [0x08, "PSH"],
    [0x10, "ACK"],
  ] as const;
  const found = names.filter(([bit, name]) => (bits & bit) !== 0 && (name !== "PSH" || data)).map(([, name]) => name);
  return found.join(" ");
}

/** A packet of IPv4, if it belongs to one of the ports. */
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
  // A window of 0 stops the sender. In a reset the field means nothing.
  const closed = bytes.readUInt16BE(start + 14) === 0 && (bits & 0x06) === 0 ? ", window 0" : "";
  return { ...ends, flags: `${flagsOf(bits, data > 0)}${closed}`, bytes: Math.max(0, data) };
}

/** An ICMP error has the beginning of the packet that it is about (RFC 792). */
function readUnreachable(
  icmp: Buffer,
  ports: ReadonlySet<number>,
  time: number,
  source: string,
  destination: string,
): LessonPacket | undefined {
  if (icmp.length < 36 || icmp[0] !== UNREACHABLE) return undefined;
  const about = icmp.subarray(8);
  const start = (about[0]! & 15) * 4;
  if (about.length < start + 4) return undefined;
  const [from, to] = [about.readUInt16BE(start), about.readUInt16BE(start + 2)];
  if (!ports.has(from) && !ports.has(to)) return undefined;
  const what = icmp[1] === 3 ? "port" : "destination";
  return { time, from: `${source}:${to}`, to: `${destination}:${from}`, flags: `ICMP ${what} unreachable`, bytes: 0 };
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
      // Without a protocol it has captured nothing until now, on no other interface either.
      await socket.bind({ family: AF_PACKET, protocol: ETH_P_IP, ifindex: "lo" });
      this.#socket = socket;
    } catch (error) {
      socket.close();
      // A sandbox may allow the socket and not this.
      if (!(error instanceof SocketError)) throw error;
    }
  }

  /** The packets since the start. */
  async stop(): Promise<Packets> {
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket === undefined) return this.#counted();
    const packets: LessonPacket[] = [];
    let more = 0;
    try {
      for (let read = 0; read < MOST_READ; read++) {
        // oxlint-disable-next-line no-await-in-loop -- packets come one after another
        const bytes = await socket.recv(SNAPPED, { flags: MSG_DONTWAIT });
        const packet = readPacket(bytes, this.#scene.ports, Date.now());
        if (packet === undefined) continue;
        if (packets.length < LISTED) packets.push(packet);
        else more++;
      }
    } catch (error) {
      if (!(error instanceof SocketError)) throw error;
    } finally {
      socket.close();
    }
    return { packets, packetSource: "capture", ...(more > 0 ? { morePackets: more } : {}) };
  }

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
