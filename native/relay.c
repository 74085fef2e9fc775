/*
 * Relays: the poller forwards bytes from one descriptor to another without JavaScript.
 *
 * Without a relay, splice() in TypeScript waits for an event of its source, moves the available bytes and waits again.
 * A call of JavaScript for each event costs more than the system calls, because the code and data of JavaScript have
 * left the CPU caches in the meantime. So JavaScript describes the flow for the poller in 32-bit words of the shared
 * array (poller.c): source, destination, pipe and others. These words are a relay.
 *
 * The reactor has a table with a slot for each registered descriptor (src/reactor/reactor.ts). Each of the first
 * MAX_RELAYS slots has a relay, whose source is the descriptor of the slot. The events of further slots always go to
 * JavaScript.
 *
 * A relay handles only the common case: bytes arrive, all of them are sent, then the source returns EAGAIN. Any other
 * event (an end, an error, urgent data, a destination whose send buffer is full) goes to JavaScript. The relay is then
 * disabled until JavaScript enables it again. Until then its words have the progress of the flow.
 *
 * A source that always has bytes would starve the other descriptors. So a relay moves at most MAX_CHUNK bytes at a
 * time, and all relays together have a budget of bytes for each turn of the loop. A relay that has moved its chunk
 * continues after the other ready relays, or in the next turn if the budget is spent.
 *
 * Words of a relay:
 *   [0]  flags, see below; 0 means that there is no relay
 *   [1]  generation of the slot
 *   [2]  source descriptor, [3] destination descriptor
 *   [4]  index of the pipe
 *   [5]  [6] bytes sent, low and high half
 *   [7]  bytes that were received but not sent: they are in the pipe
 *   [8]  the -errno that stopped the relay; otherwise 0, for example at the end of the source
 *   [9]  time of the last transfer: milliseconds of CLOCK_MONOTONIC, the low 32 bits
 *
 * The table has RELAYS_BEFORE_PIPES relays, then RELAY_PIPES pipes, then the remaining relays. So a process with few
 * descriptors uses only the first pages of the table. The kernel allocates a page when the page is first used.
 *
 * Words of a pipe: [0] read end or -1, [1] write end, [2] capacity in bytes. Relays with the same pipe index share the
 * pipe, because it is empty between two events. If bytes stay in the pipe, the relay stops and sets the read end to -1.
 * So no relay uses this pipe, and none uses its index until JavaScript stores another pipe there.
 *
 * JavaScript can write any value to these words. So C uses only descriptors that this environment owns.
 */
#include "poller.h"

#include <sys/epoll.h>
#include <time.h>

enum { FLAGS, GENERATION, SOURCE, DESTINATION, PIPE, BYTES_LOW, BYTES_HIGH, BYTES_IN_PIPE, ERROR, LAST_ACTIVE };
enum { READ_END, WRITE_END, CAPACITY };

/* The relay handles the events of its source. */
#define ENABLED 1
/* JavaScript waits to write to the source, and must get the event when the source becomes writable. */
#define REPORT_WRITABLE 2
/*
 * The relay must send no more bytes, and must stop at the next event: JavaScript waits to write to the destination and
 * its bytes come first, or a short read no longer means that the source is empty.
 */
#define MUST_STOP 4
/* Set by C: the source became writable, and JavaScript did not get the event. */
#define WRITABLE_UNREPORTED 8
/* Set by C: the source may have more bytes, and the relay is in the queue. */
#define QUEUED 16
/* The last transfer received fewer than SPLICE_THRESHOLD bytes. C updates this flag. */
#define SMALL_READ 32
/* A short read means that the source is empty. This is true while the source has only EPOLLIN and EPOLLOUT events. */
#define SHORT_READ_IS_EMPTY 64

/* Limit of bytes that a relay moves before other relays run. */
#define MAX_CHUNK (1u << 20)

static int32_t now_ms(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int32_t)(uint32_t)((uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000);
}

/* The words of the relay of a slot. */
static int32_t *get_relay(const struct relays *relays, uint32_t slot) {
  uint32_t pipe_words = slot < RELAYS_BEFORE_PIPES ? 0 : RELAY_PIPES * RELAY_PIPE_WORDS;
  return relays->table + slot * RELAY_WORDS + pipe_words;
}

/* The words of the pipe of a relay. JavaScript may have stored any index, and the mask keeps it inside the table. */
static int32_t *get_pipe(const struct relays *relays, const int32_t *relay) {
  int32_t index = relay[PIPE] & (RELAY_PIPES - 1);
  return relays->table + RELAYS_BEFORE_PIPES * RELAY_WORDS + index * RELAY_PIPE_WORDS;
}

/*
 * SOURCE_EMPTY: the relay waits for the next event. CHUNK_SPENT: the source may have more bytes. RELAY_STOPPED:
 * JavaScript must continue the flow.
 */
enum forward_result { SOURCE_EMPTY, CHUNK_SPENT, RELAY_STOPPED };

/* Moves at most one chunk from the source to the destination, and updates the words of the relay. */
static enum forward_result forward(struct relays *relays, int32_t *relay) {
  int32_t *pipe = get_pipe(relays, relay);
  const struct addon *addon = relays->addon;
  bool allowed = !(relay[FLAGS] & MUST_STOP) && owns(addon, relay[SOURCE]) && owns(addon, relay[DESTINATION]) &&
                 owns(addon, pipe[READ_END]) && owns(addon, pipe[WRITE_END]) && pipe[CAPACITY] > 0;
  if (!allowed) return RELAY_STOPPED;
  struct splice_progress progress;
  uint32_t chunk = relays->budget < MAX_CHUNK ? relays->budget : MAX_CHUNK;
  uint32_t flags = (relay[FLAGS] & SMALL_READ ? SPLICE_COPY_FIRST : 0) |
                   (relay[FLAGS] & SHORT_READ_IS_EMPTY ? SPLICE_SHORT_READ_IS_EMPTY : 0) |
                   (may_block(addon, relay[SOURCE]) || may_block(addon, relay[DESTINATION]) ? SPLICE_COPY_ALL : 0);
  int64_t result = splice_through(relay[SOURCE], pipe[READ_END], pipe[WRITE_END], relay[DESTINATION],
                                  (uint32_t)pipe[CAPACITY], chunk, flags, &progress);
  relays->budget -= progress.received;
  if (progress.received > 0) {
    if (progress.received < SPLICE_THRESHOLD) relay[FLAGS] |= SMALL_READ;
    else relay[FLAGS] &= ~SMALL_READ;
    uint64_t bytes = ((uint64_t)(uint32_t)relay[BYTES_HIGH] << 32 | (uint32_t)relay[BYTES_LOW]) + progress.sent;
    relay[BYTES_LOW] = (int32_t)(uint32_t)bytes;
    relay[BYTES_HIGH] = (int32_t)(bytes >> 32);
    relay[LAST_ACTIVE] = now_ms();
  }
  if (progress.received == progress.sent && result == -EAGAIN) return SOURCE_EMPTY;
  if (result == BUDGET_SPENT) return CHUNK_SPENT;
  relay[BYTES_IN_PIPE] = (int32_t)(progress.received - progress.sent);
  relay[ERROR] = (int32_t)result;
  if (relay[BYTES_IN_PIPE] > 0) pipe[READ_END] = -1;
  return RELAY_STOPPED;
}

/*
 * Appends a relay to the queue. The caller checks that the queue is not full. The queue has MAX_RELAYS entries, but a
 * relay that was disabled and enabled again can be in the queue twice.
 */
static void queue_relay(struct relays *relays, int32_t *relay, uint32_t slot) {
  relay[FLAGS] |= QUEUED;
  relays->queue[(relays->queue_start + relays->queue_length++) % MAX_RELAYS] = (uint16_t)slot;
}

bool handle_with_relay(struct relays *relays, uint64_t token, uint32_t *events) {
  uint32_t slot = (uint32_t)token;
  if (slot >= MAX_RELAYS) return false;
  int32_t *relay = get_relay(relays, slot);
  if (!(relay[FLAGS] & ENABLED) || relay[GENERATION] != (int32_t)(token >> 32)) return false;
  if (*events & ~(uint32_t)(EPOLLIN | EPOLLOUT)) {
    relay[FLAGS] &= ~ENABLED;
    return false;
  }
  if ((*events & EPOLLIN) && !(relay[FLAGS] & QUEUED)) {
    enum forward_result result = relays->budget == 0 ? CHUNK_SPENT : forward(relays, relay);
    if (result == CHUNK_SPENT && relays->queue_length < MAX_RELAYS) queue_relay(relays, relay, slot);
    else if (result != SOURCE_EMPTY) {
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

bool run_queued_relays(struct relays *relays, uint64_t *token) {
  while (relays->queue_length > 0 && relays->budget > 0) {
    uint32_t slot = relays->queue[relays->queue_start];
    relays->queue_start = (relays->queue_start + 1) % MAX_RELAYS;
    relays->queue_length--;
    int32_t *relay = get_relay(relays, slot);
    /* JavaScript may have disabled a queued relay. If JavaScript has then enabled it again, QUEUED was cleared. */
    if (!(relay[FLAGS] & ENABLED) || !(relay[FLAGS] & QUEUED)) continue;
    relay[FLAGS] &= ~QUEUED;
    switch (forward(relays, relay)) {
      case SOURCE_EMPTY:
        break;
      case CHUNK_SPENT:
        queue_relay(relays, relay, slot);
        break;
      case RELAY_STOPPED:
        relay[FLAGS] &= ~ENABLED;
        *token = (uint64_t)(uint32_t)relay[GENERATION] << 32 | slot;
        return true;
    }
  }
  return false;
}

/* relayClock() -> the current time in the format of word [9] of a relay */
static napi_value call_relay_clock(napi_env env, napi_callback_info info) {
  (void)info;
  return js_number(env, now_ms());
}

bool init_relay(napi_env env, napi_value exports) {
  static const struct exported_function functions[] = {{"relayClock", call_relay_clock}};
  return EXPORT_FUNCTIONS(env, exports, functions);
}
