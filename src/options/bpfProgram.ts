// Classic BPF programs: struct sock_filter of linux/filter.h.
//
// The kernel takes a struct with a pointer to the instructions. JavaScript passes only the instructions, and the addon
// creates the struct, so that no pointer comes from JavaScript.

import { LITTLE_ENDIAN, view } from "../sys/nativeInts.js";
import { cannotSet, numberMember } from "./option.js";
import { checkMembers } from "./memberChecks.js";

/** One instruction of classic BPF, as BPF_STMT and BPF_JUMP of linux/filter.h create it. */
export interface BpfInstruction {
  /** The operation, such as `BPF_RET | BPF_K`. */
  readonly code: number;
  /** Number of instructions to skip if the condition of a jump is true; 0 if absent. */
  readonly jt?: number;
  /** Number of instructions to skip if the condition of a jump is false; 0 if absent. */
  readonly jf?: number;
  /** The operand; 0 if absent. */
  readonly k?: number;
}

/** Bytes of an instruction. */
const INSTRUCTION_SIZE = 8;
/** BPF_MAXINSNS of linux/bpf_common.h. */
const MAX_INSTRUCTIONS = 4096;
/** Bytes of the longest program. */
export const MAX_PROGRAM_SIZE: number = MAX_INSTRUCTIONS * INSTRUCTION_SIZE;

const MEMBERS = ["code", "jt", "jf", "k"];

/**
 * Encodes the instructions of a program.
 *
 * @param option the name of the option to which the program is passed, for messages
 */
export function encodeProgram(option: string, value: readonly BpfInstruction[]): Uint8Array {
  if (!Array.isArray(value)) {
    throw new TypeError(`${cannotSet(option, value)}, required an array of instructions { code, jt, jf, k }`);
  }
  if (value.length === 0 || value.length > MAX_INSTRUCTIONS) {
    throw new RangeError(
      `Cannot set ${option}: value has ${value.length} instructions, required 1 to ${MAX_INSTRUCTIONS}`,
    );
  }
  const bytes = new Uint8Array(value.length * INSTRUCTION_SIZE);
  const out = view(bytes);
  for (let index = 0; index < value.length; index++) {
    const place = `${option}, instruction ${index}`;
    const { code, jt = 0, jf = 0, k = 0 } = checkMembers(place, value[index], MEMBERS);
    const at = index * INSTRUCTION_SIZE;
    out.setUint16(at, numberMember(place, "code", code, 0, 0xffff), LITTLE_ENDIAN);
    out.setUint8(at + 2, numberMember(place, "jt", jt, 0, 0xff));
    out.setUint8(at + 3, numberMember(place, "jf", jf, 0, 0xff));
    // `k` may be negative, such as SKF_AD_OFF (-0x1000), the offset at which BPF reads data about a packet. The kernel
    // takes 32 unsigned bits.
    out.setUint32(at + 4, numberMember(place, "k", k, -0x8000_0000, 0xffff_ffff) >>> 0, LITTLE_ENDIAN);
  }
  return bytes;
}

export function decodeProgram(bytes: Uint8Array): Required<BpfInstruction>[] {
  const data = view(bytes);
  const program: Required<BpfInstruction>[] = [];
  for (let at = 0; at + INSTRUCTION_SIZE <= bytes.length; at += INSTRUCTION_SIZE) {
    program.push({
      code: data.getUint16(at, LITTLE_ENDIAN),
      jt: data.getUint8(at + 2),
      jf: data.getUint8(at + 3),
      k: data.getUint32(at + 4, LITTLE_ENDIAN),
    });
  }
  return program;
}
