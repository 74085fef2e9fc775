/*
 * A flow that waits for its source, carried on without JavaScript.
 *
 * splice() waits for an event of its source, moves what is there and waits again; mostly nothing else happens, and the
 * way to JavaScript and back costs more than the calls, because what it needs has left the caches meanwhile. So JavaScript
 * leaves a note for the poller: "when this source has bytes, they go there". A note is a few words of the array that both
 * sides share, one for each slot of the reactor's table (and none for slots beyond the last note: those take the long way).
 *
 * Only the plain case is handled here: there are bytes, they all go out, then the source says would-block. Whatever else
 * happens (an end, an error, urgent data, a destination that takes no more) goes to JavaScript with the event, and the note is
 * closed until JavaScript has written it anew. What was done up to then stands in the note.
 *
 * A source that always has bytes would keep all others waiting. A note has a chunk at a time, and a turn of the loop a budget; whose
 * chunk is spent goes on behind the others that are ready, in the next turn if need be.
 *
 * Words of a note, which starts at a multiple of RELAY_WORDS:
 *   [0]  flags, see below; 0 is no note
 *   [1]  generation of the slot
 *   [2]  source, [3] destination: descriptors
 *   [4]  which of the pipes below
 *   [5]  [6] bytes passed on, low and high half
 *   [7]  bytes that were taken after those and are still in the pipe
 *   [8]  what stopped it: -errno, or 0
 *   [9]  when bytes last moved: milliseconds of CLOCK_MONOTONIC, the low 32 bits
 *
 * After the first FIRST_RELAYS notes come RELAY_PIPES pipes, then the other notes: a process with few descriptors uses the first pages
 * of the table, and the kernel makes the others only when they are used. Words of a pipe: [0] read end or -1, [1] write end, [2] bytes that it holds. All notes with the same
 * pipe share it, because it is empty between two events. When it is not, it is taken out (the read end becomes -1) until
 * JavaScript has put another one in.
 *
 * C trusts nobody: only descriptors that this environment owns are used, whatever the words say.
 */
#include "relay.h"

#include "descriptors.h"
#include "splice.h"

#include <sys/epoll.h>
#include <time.h>

enum { FLAGS, GENERATION, SOURCE, DESTINATION, PIPE, BYTES_LOW, BYTES_HIGH, BYTES_IN_PIPE, ERROR, LAST_ACTIVE };
enum { READ_END, WRITE_END, CAPACITY };

/* The note counts. */
#define ENABLED 1
/* A write waits on the source: it is to hear that there is room. */
#define REPORT_WRITABLE 2
/* A write waits on the destination, and goes first. */
#define WRITER_WAITING 4
/* Set here: there was an event for room that JavaScript did not hear of. */
#define WRITABLE_UNREPORTED 8
/* Set here: there may be more bytes, and the note stands in the queue of those that go on. */
#define QUEUED 16
/* Few bytes came the last time. */
#define SMALL_TRANSFERS 32
/* A short read empties the source, for as long as its events say nothing but that there are bytes. */
#define SHORT_READ_IS_EMPTY 64

/* Bytes after which a note lets others have their turn. */
#define MAX_CHUNK (1u << 20)

static int32_t now_ms(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int32_t)(uint32_t)((uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000);
}

enum forward_result { SOURCE_EMPTY, CHUNK_SPENT, RELAY_STOPPED };

static int32_t *get_relay(const struct relays *relays, uint32_t slot) {
  uint32_t before = slot < RELAYS_BEFORE_PIPES ? 0 : RELAY_PIPES * RELAY_PIPE_WORDS;
  return relays->table + slot * RELAY_WORDS + before;
}

static enum forward_result forward(struct relays *relays, int32_t *relay) {
  int32_t *pipe = relays->table + RELAYS_BEFORE_PIPES * RELAY_WORDS + (relay[PIPE] & (RELAY_PIPES - 1)) * RELAY_PIPE_WORDS;
  const struct addon *addon = relays->addon;
  bool allowed = !(relay[FLAGS] & WRITER_WAITING) && owns(addon, relay[SOURCE]) && owns(addon, relay[DESTINATION]) &&
              owns(addon, pipe[READ_END]) && owns(addon, pipe[WRITE_END]) && pipe[CAPACITY] > 0;
  if (!allowed) return RELAY_STOPPED;
  struct splice_progress progress;
  uint32_t chunk = relays->budget < MAX_CHUNK ? relays->budget : MAX_CHUNK;
  uint32_t flags = (relay[FLAGS] & SMALL_TRANSFERS ? SPLICE_COPY_FIRST : 0) |
                 (relay[FLAGS] & SHORT_READ_IS_EMPTY ? SPLICE_SHORT_READ_IS_EMPTY : 0) |
                 (may_block(addon, relay[SOURCE]) || may_block(addon, relay[DESTINATION]) ? SPLICE_COPY_ALL : 0);
  int64_t result = splice_through(relay[SOURCE], pipe[READ_END], pipe[WRITE_END], relay[DESTINATION], (uint32_t)pipe[CAPACITY],
                                  chunk, flags, &progress);
  relays->budget -= progress.received;
  if (progress.received > 0) {
    if (progress.received < SPLICE_THRESHOLD) relay[FLAGS] |= SMALL_TRANSFERS;
    else relay[FLAGS] &= ~SMALL_TRANSFERS;
    uint64_t bytes = ((uint64_t)(uint32_t)relay[BYTES_HIGH] << 32 | (uint32_t)relay[BYTES_LOW]) + progress.sent;
    relay[BYTES_LOW] = (int32_t)(uint32_t)bytes;
    relay[BYTES_HIGH] = (int32_t)(bytes >> 32);
    relay[LAST_ACTIVE] = now_ms();
  }
  if (progress.received == progress.sent && result == -EAGAIN) return SOURCE_EMPTY;
  if (result == 1) return CHUNK_SPENT;
  relay[BYTES_IN_PIPE] = (int32_t)(progress.received - progress.sent);
  relay[ERROR] = (int32_t)result;
  if (relay[BYTES_IN_PIPE] > 0) pipe[READ_END] = -1;
  return RELAY_STOPPED;
}

/* To be called when there is room: a note that was closed and written anew may stand there twice. */
static void enqueue(struct relays *relays, int32_t *relay, uint32_t slot) {
  relay[FLAGS] |= QUEUED;
  relays->queue[(relays->queue_start + relays->queue_length++) % MAX_RELAYS] = (uint16_t)slot;
}

bool relay_event(struct relays *relays, uint64_t token, uint32_t *events) {
  uint32_t slot = (uint32_t)token;
  if (slot >= MAX_RELAYS) return false;
  int32_t *relay = get_relay(relays, slot);
  if (!(relay[FLAGS] & ENABLED) || relay[GENERATION] != (int32_t)(token >> 32)) return false;
  if (*events & ~(uint32_t)(EPOLLIN | EPOLLOUT)) {
    relay[FLAGS] &= ~ENABLED;
    return false;
  }
  if ((*events & EPOLLIN) && !(relay[FLAGS] & QUEUED)) {
    enum forward_result forward_result = relays->budget == 0 ? CHUNK_SPENT : forward(relays, relay);
    if (forward_result == CHUNK_SPENT && relays->queue_length < MAX_RELAYS) enqueue(relays, relay, slot);
    else if (forward_result != SOURCE_EMPTY) {
      relay[FLAGS] &= ~ENABLED;
      return false;
    }
  }
  if (!(*events & EPOLLOUT)) return true;
  if (relay[FLAGS] & REPORT_WRITABLE) {
    *events = EPOLLOUT;
    return false;
  }
  relay[FLAGS] |= WRITABLE_UNREPORTED;
  return true;
}

bool relay_queued(struct relays *relays, uint64_t *token) {
  while (relays->queue_length > 0 && relays->budget > 0) {
    uint32_t slot = relays->queue[relays->queue_start];
    relays->queue_start = (relays->queue_start + 1) % MAX_RELAYS;
    relays->queue_length--;
    int32_t *relay = get_relay(relays, slot);
    /* Closed meanwhile, perhaps written anew by somebody who has met would-block. */
    if (!(relay[FLAGS] & ENABLED) || !(relay[FLAGS] & QUEUED)) continue;
    relay[FLAGS] &= ~QUEUED;
    switch (forward(relays, relay)) {
      case SOURCE_EMPTY:
        break;
      case CHUNK_SPENT:
        enqueue(relays, relay, slot);
        break;
      case RELAY_STOPPED:
        relay[FLAGS] &= ~ENABLED;
        *token = (uint64_t)(uint32_t)relay[GENERATION] << 32 | slot;
        return true;
    }
  }
  return false;
}

/* relayClock() -> what the word for the time of a note would be now. */
static napi_value call_relay_clock(napi_env env, napi_callback_info info) {
  (void)info;
  return js_number(env, now_ms());
}

bool init_relay(napi_env env, napi_value exports) {
  static const struct exported_function functions[] = {{"relayClock", call_relay_clock}};
  return EXPORT_FUNCTIONS(env, exports, functions);
}
