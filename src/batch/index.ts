// Batches of datagrams: their memory, their addresses and their segments.

export { AddressCache, sockaddrOf } from "./addressCache.js";
export {
  type AddOptions,
  type BatchDescription,
  DatagramBatch,
  type DatagramBatchOptions,
  memoryOf,
  putDatagram,
} from "./datagramBatch.js";
export { readReplySource, senderHash } from "./sources.js";
export { MAX_MESSAGE, MAX_SEGMENT_SIZE, MAX_SEGMENTS, segments, segmentSize } from "./segments.js";
export {
  allocateBatch,
  type BatchMemory,
  ENTRY_WORDS,
  ERROR,
  FLAGS,
  LENGTH,
  MAX_DATAGRAMS_PER_CALL,
  NAME,
  NAME_LENGTH,
  SEGMENT,
  SOURCE,
  SOURCE_LENGTH,
} from "./table.js";
