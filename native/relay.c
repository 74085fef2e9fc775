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
#include "addon.h"

#include <sys/epoll.h>
#include <time.h>

enum { FLAGS, GENERATION, FROM, TO, PIPE, PASSED, PASSED_HIGH, HELD, RESULT, ACTIVE };
enum { READ_END, WRITE_END, CAPACITY };

/* The note counts. */
#define OPEN 1
/* A write waits on the source: it is to hear that there is room. */
#define WANTS_OUT 2
/* A write waits on the destination, and goes first. */
#define BLOCKED 4
/* Set here: there was an event for room that JavaScript did not hear of. */
#define MISSED_OUT 8
/* Set here: there may be more bytes, and the note stands in the queue of those that go on. */
#define PENDING 16
/* Few bytes came the last time. */
#define SMALL 32
/* A short read empties the source, for as long as its events say nothing but that there are bytes. */
#define SHORT_MEANS_EMPTY 64

/* Bytes after which a note lets others have their turn. */
#define CHUNK (1u << 20)

static int32_t now_ms(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int32_t)(uint32_t)((uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000);
}

enum outcome { DRAINED, MORE, STOPPED };

static int32_t *note_of(const struct relays *relays, uint32_t slot) {
  uint32_t before = slot < FIRST_RELAYS ? 0 : RELAY_PIPES * RELAY_PIPE_WORDS;
  return relays->table + slot * RELAY_WORDS + before;
}

static enum outcome pass(struct relays *relays, int32_t *note) {
  int32_t *pipe = relays->table + FIRST_RELAYS * RELAY_WORDS + (note[PIPE] & (RELAY_PIPES - 1)) * RELAY_PIPE_WORDS;
  const struct addon *addon = relays->addon;
  bool able = !(note[FLAGS] & BLOCKED) && owns(addon, note[FROM]) && owns(addon, note[TO]) &&
              owns(addon, pipe[READ_END]) && owns(addon, pipe[WRITE_END]) && pipe[CAPACITY] > 0;
  if (!able) return STOPPED;
  uint32_t progress[2], chunk = relays->budget < CHUNK ? relays->budget : CHUNK;
  uint32_t how = (note[FLAGS] & SMALL ? THROUGH_FEW : 0) |
                 (note[FLAGS] & SHORT_MEANS_EMPTY ? THROUGH_SHORT_MEANS_EMPTY : 0) |
                 (may_wait(addon, note[FROM]) || may_wait(addon, note[TO]) ? THROUGH_COPY : 0);
  int64_t result = splice_through(note[FROM], pipe[READ_END], pipe[WRITE_END], note[TO], (uint32_t)pipe[CAPACITY],
                                  chunk, how, progress);
  relays->budget -= progress[0];
  if (progress[0] > 0) {
    if (progress[0] < MANY) note[FLAGS] |= SMALL;
    else note[FLAGS] &= ~SMALL;
    uint64_t passed = ((uint64_t)(uint32_t)note[PASSED_HIGH] << 32 | (uint32_t)note[PASSED]) + progress[1];
    note[PASSED] = (int32_t)(uint32_t)passed;
    note[PASSED_HIGH] = (int32_t)(passed >> 32);
    note[ACTIVE] = now_ms();
  }
  if (progress[0] == progress[1] && result == -EAGAIN) return DRAINED;
  if (result == 1) return MORE;
  note[HELD] = (int32_t)(progress[0] - progress[1]);
  note[RESULT] = (int32_t)result;
  if (note[HELD] > 0) pipe[READ_END] = -1;
  return STOPPED;
}

/* To be called when there is room: a note that was closed and written anew may stand there twice. */
static void queue(struct relays *relays, int32_t *note, uint32_t slot) {
  note[FLAGS] |= PENDING;
  relays->queue[(relays->first + relays->queued++) % RELAYS] = (uint16_t)slot;
}

bool relay(struct relays *relays, uint64_t token, uint32_t *events) {
  uint32_t slot = (uint32_t)token;
  if (slot >= RELAYS) return false;
  int32_t *note = note_of(relays, slot);
  if (!(note[FLAGS] & OPEN) || note[GENERATION] != (int32_t)(token >> 32)) return false;
  if (*events & ~(uint32_t)(EPOLLIN | EPOLLOUT)) {
    note[FLAGS] &= ~OPEN;
    return false;
  }
  if ((*events & EPOLLIN) && !(note[FLAGS] & PENDING)) {
    enum outcome outcome = relays->budget == 0 ? MORE : pass(relays, note);
    if (outcome == MORE && relays->queued < RELAYS) queue(relays, note, slot);
    else if (outcome != DRAINED) {
      note[FLAGS] &= ~OPEN;
      return false;
    }
  }
  if (!(*events & EPOLLOUT)) return true;
  if (note[FLAGS] & WANTS_OUT) {
    *events = EPOLLOUT;
    return false;
  }
  note[FLAGS] |= MISSED_OUT;
  return true;
}

bool relay_next(struct relays *relays, uint64_t *token) {
  while (relays->queued > 0 && relays->budget > 0) {
    uint32_t slot = relays->queue[relays->first];
    relays->first = (relays->first + 1) % RELAYS;
    relays->queued--;
    int32_t *note = note_of(relays, slot);
    /* Closed meanwhile, perhaps written anew by somebody who has met would-block. */
    if (!(note[FLAGS] & OPEN) || !(note[FLAGS] & PENDING)) continue;
    note[FLAGS] &= ~PENDING;
    switch (pass(relays, note)) {
      case DRAINED:
        break;
      case MORE:
        queue(relays, note, slot);
        break;
      case STOPPED:
        note[FLAGS] &= ~OPEN;
        *token = (uint64_t)(uint32_t)note[GENERATION] << 32 | slot;
        return true;
    }
  }
  return false;
}

/* relayClock() -> what the word for the time of a note would be now. */
static napi_value call_relay_clock(napi_env env, napi_callback_info info) {
  (void)info;
  return number(env, now_ms());
}

bool init_relay(napi_env env, napi_value exports) {
  static const struct entry entries[] = {{"relayClock", call_relay_clock}};
  return EXPORT_ALL(env, exports, entries);
}
