// The request that manages flow labels: struct in6_flowlabel_req of linux/in6.h.

import { LITTLE_ENDIAN, view } from "../sys/nativeInts.js";
import { numberMember } from "./option.js";
import { ipv6Member, checkMembers } from "./memberChecks.js";

/** A request for a flow label: `struct in6_flowlabel_req` of linux/in6.h. */
export interface FlowLabelRequest {
  /** `IPV6_FL_A_GET` (reserve), `IPV6_FL_A_PUT` (release), `IPV6_FL_A_RENEW`. */
  readonly action: number;
  /** The label, 1 to 0xfffff. */
  readonly label: number;
  /** Numeric destination address; `"::"` if absent. */
  readonly destination?: string;
  /** The processes that may share the label: `IPV6_FL_S_EXCL`, `_PROCESS`, `_USER`, `_ANY`; 0 if absent. */
  readonly share?: number;
  /** `IPV6_FL_F_CREATE`, `IPV6_FL_F_EXCL` and others; 0 if absent. */
  readonly flags?: number;
  /** Seconds after which an unused label expires; 0 if absent. */
  readonly expires?: number;
  /** Seconds for which a released label can't be reserved again; 0 if absent. */
  readonly linger?: number;
}

/** @param option the name of the option, for messages */
export function encodeFlowLabel(option: string, value: FlowLabelRequest): Uint8Array {
  const members = ["action", "label", "destination", "share", "flags", "expires", "linger"];
  const given = checkMembers(option, value, members);
  const { action, label, destination = "::", share = 0, flags = 0, expires = 0, linger = 0 } = given;
  // The members of the struct have 28 bytes. 4 bytes of padding follow.
  const bytes = new Uint8Array(32);
  const out = view(bytes);
  bytes.set(ipv6Member(option, "destination", destination));
  // The label is in network byte order, as in the header of a packet.
  out.setUint32(16, numberMember(option, "label", label, 1, 0xf_ffff));
  out.setUint8(20, numberMember(option, "action", action, 0, 0xff));
  out.setUint8(21, numberMember(option, "share", share, 0, 0xff));
  out.setUint16(22, numberMember(option, "flags", flags, 0, 0xffff), LITTLE_ENDIAN);
  out.setUint16(24, numberMember(option, "expires", expires, 0, 0xffff), LITTLE_ENDIAN);
  out.setUint16(26, numberMember(option, "linger", linger, 0, 0xffff), LITTLE_ENDIAN);
  return bytes;
}
