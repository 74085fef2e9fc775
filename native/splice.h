/* Moving bytes from a socket through a pipe to a socket. */
#ifndef BERKELEY_SPLICE_H
#define BERKELEY_SPLICE_H

#include <stdint.h>

/*
 * Transfers of fewer bytes are copied, because splice(2) then costs more than a copy. relay.c switches a flow to
 * copying after a transfer of fewer bytes. src/ops/transfer.ts has the same number.
 */
#define SPLICE_THRESHOLD (16u << 10)

/* Flags of splice_through(), the same as in src/ops/transfer.ts. */
/* Copy first, and splice after a full read of SPLICE_THRESHOLD bytes. */
#define SPLICE_COPY_FIRST 1u
/* A recv(2) that returned fewer bytes than requested has emptied the source. A further recv(2) is not needed. */
#define SPLICE_SHORT_READ_IS_EMPTY 2u
/* The peer has ended the connection, and a recv(2) that returned fewer bytes than requested got the last bytes. */
#define SPLICE_SHORT_READ_IS_END 4u
/* Copy all bytes: one of the sockets is blocking, so splice(2) could block. */
#define SPLICE_COPY_ALL 8u

/* If both counts are equal, the pipe is empty. */
struct splice_progress {
  uint32_t received; /* bytes taken from the source */
  uint32_t sent;     /* bytes that the destination accepted */
};

/*
 * Fills the pipe, which must be empty, from `source` and empties it into `destination`. Repeats that until an operation
 * fails or `budget` bytes were received. `capacity` is the capacity of the pipe. Returns 1 when the budget is spent, 0
 * at the end of `source`, or -errno.
 */
int64_t splice_through(int source, int read_end, int write_end, int destination, uint32_t capacity, uint32_t budget,
                       uint32_t flags, struct splice_progress *progress);

#endif
