// The memory of a batch of datagrams, as native/batch.c reads and writes it.
//
// The slab has a slot for the bytes of each datagram, the control memory a part for its control data, and the table an
// entry. An entry has eight 32-bit words, the address of the peer (a sockaddr_storage), memory that C uses when it
// sends, and the local address from which a datagram is sent. The memory is allocated once and used for every call.

/** The size of an entry in bytes. */
const ENTRY = 248;
/** The size of an entry in 32-bit words. */
export const ENTRY_WORDS: number = ENTRY / 4;

// The indexes of the words of an entry. Lengths are in bytes.
export const LENGTH = 0;
/** The length before truncation. */
export const WHOLE_LENGTH = 1;
/** The `MSG_` flags of a received datagram. */
export const FLAGS = 2;
/** The segment size; 0 for a single datagram. */
export const SEGMENT = 3;
/** The length of the sockaddr; 0 without an address. */
export const NAME_LENGTH = 4;
export const CONTROL_LENGTH = 5;
/** The -errno of a datagram that was not sent, or 0. */
export const ERROR = 6;
/** The length of the local address: 0, or the size of `struct in_pktinfo` or `struct in6_pktinfo`. */
export const SOURCE_LENGTH = 7;
/** The first word of the sockaddr: msg_name of struct msghdr. */
export const NAME = 8;
/** The first word of the local address. */
export const SOURCE = 56;

/** Maximum number of datagrams that one call transfers: UIO_MAXIOV of the kernel. */
export const MAX_DATAGRAMS_PER_CALL = 1024;

/** The memory of a batch, as the system calls use it. */
export interface BatchMemory {
  readonly slab: Buffer;
  readonly table: Uint8Array;
  /** The same memory as `table`. */
  readonly words: Int32Array;
  readonly control: Buffer;
  readonly capacity: number;
  /** The number of bytes for each datagram. */
  readonly slotSize: number;
  /** The number of bytes for the control data of each datagram. */
  readonly controlSize: number;
  /** The number of datagrams in the batch. */
  count: number;
}

/** Allocates the memory of a batch. */
export function allocateBatch(capacity: number, slotSize: number, controlSize: number): BatchMemory {
  const words = new Int32Array(capacity * ENTRY_WORDS);
  return {
    // Zeroed, so that a slot never exposes earlier contents of the memory.
    slab: Buffer.alloc(capacity * slotSize),
    table: new Uint8Array(words.buffer),
    words,
    control: Buffer.alloc(capacity * controlSize),
    capacity,
    slotSize,
    controlSize,
    count: 0,
  };
}
