// The structs to save and restore a TCP connection (TCP_REPAIR of linux/tcp.h).

import { LITTLE_ENDIAN, view } from "../sys/nativeInts.js";
import { cannotSet, numberMember } from "./option.js";
import { checkMembers } from "./memberChecks.js";

/** An option that was negotiated in the handshake: `struct tcp_repair_opt`. */
export interface TcpRepairOption {
  /** Kind of the option (RFC 9293): 2 segment size, 3 window scale, 4 SACK permitted, 8 timestamps. */
  readonly code: number;
  /**
   * The value of the option; 0 if absent. For window scale, the low 16 bits are the scale for sending, and the high 16
   * bits are the scale for receiving.
   */
  readonly value?: number;
}

export function encodeRepairOptions(option: string, value: readonly TcpRepairOption[]): Uint8Array {
  if (!Array.isArray(value)) throw new TypeError(`${cannotSet(option, value)}, required an array of { code, value }`);
  const bytes = new Uint8Array(8 * value.length);
  const out = view(bytes);
  for (let index = 0; index < value.length; index++) {
    const place = `${option}, option ${index}`;
    const { code, value: optionValue = 0 } = checkMembers(place, value[index], ["code", "value"]);
    out.setUint32(8 * index, numberMember(place, "code", code, 0, 0xffff_ffff), LITTLE_ENDIAN);
    out.setUint32(8 * index + 4, numberMember(place, "value", optionValue, 0, 0xffff_ffff), LITTLE_ENDIAN);
  }
  return bytes;
}

/** The windows of a connection, to read and to set again: `struct tcp_repair_window`. */
export interface TcpRepairWindow {
  readonly snd_wl1: number;
  readonly snd_wnd: number;
  readonly max_window: number;
  readonly rcv_wnd: number;
  readonly rcv_wup: number;
}

/** Bytes of struct tcp_repair_window. */
export const REPAIR_WINDOW_SIZE: number = 20;

/** The members of struct tcp_repair_window in their order. Each has 32 bits. */
const MEMBERS = ["snd_wl1", "snd_wnd", "max_window", "rcv_wnd", "rcv_wup"];

export function encodeRepairWindow(option: string, value: TcpRepairWindow): Uint8Array {
  const given = checkMembers(option, value, MEMBERS);
  const bytes = new Uint8Array(REPAIR_WINDOW_SIZE);
  MEMBERS.forEach((member, index) => {
    view(bytes).setUint32(4 * index, numberMember(option, member, given[member], 0, 0xffff_ffff), LITTLE_ENDIAN);
  });
  return bytes;
}

export function decodeRepairWindow(bytes: Uint8Array): TcpRepairWindow {
  const u32 = (index: number): number => view(bytes).getUint32(4 * index, LITTLE_ENDIAN);
  return { snd_wl1: u32(0), snd_wnd: u32(1), max_window: u32(2), rcv_wnd: u32(3), rcv_wup: u32(4) };
}
