// The memory of a batch of datagrams, as native/batch.c reads and fills it.
//
// Datagram i has slot i of the slab for its bytes, room i of the control memory for the control data that came with it, and
// entry i of the table: eight 32-bit words, a sockaddr_storage, and space that C uses when it sends. All of it is made
// once and used for every call.

/** Bytes of an entry. */
const ENTRY = 192;
/** 32-bit words of an entry. */
export const ENTRY_WORDS: number = ENTRY / 4;

// The words of an entry.
export const LENGTH = 0;
export const WHOLE_LENGTH = 1;
export const FLAGS = 2;
export const SEGMENT = 3;
export const NAME_LENGTH = 4;
export const CONTROL_LENGTH = 5;
export const ERROR = 6;
/** The first word of the sockaddr. */
export const NAME = 8;

/** Most datagrams that one call moves: UIO_MAXIOV of the kernel. */
export const MAX_AT_ONCE = 1024;

/** What the calls are given. `count` is how many datagrams there are in it now. */
export interface BatchMemory {
  readonly slab: Buffer;
  readonly table: Uint8Array;
  /** The table, by words. */
  readonly words: Int32Array;
  readonly control: Buffer;
  readonly capacity: number;
  readonly slot: number;
  readonly room: number;
  count: number;
}

export function batchMemory(capacity: number, slot: number, room: number): BatchMemory {
  const words = new Int32Array(capacity * ENTRY_WORDS);
  return {
    // Cleared, so that a slot never shows what the memory held before.
    slab: Buffer.alloc(capacity * slot),
    table: new Uint8Array(words.buffer),
    words,
    control: Buffer.alloc(capacity * room),
    capacity,
    slot,
    room,
    count: 0,
  };
}
