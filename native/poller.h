/* The poller, its relays, and the interface of its two backends. */
#ifndef BERKELEY_POLLER_H
#define BERKELEY_POLLER_H

#include "addon.h"

#include <sys/epoll.h>

/* relay.c */

/*
 * Number of relays. The reactor has a slot for each registered descriptor, and only the first MAX_RELAYS slots have a
 * relay. A forwarded connection uses two. Unused entries of the table cost only address space. src/reactor/relay.ts has
 * the same number.
 */
#define MAX_RELAYS (1u << 16)
/* The number of relays in the table before the pipes. */
#define RELAYS_BEFORE_PIPES 1024u
#define RELAY_WORDS 10
/* The number of pipes, a power of two. */
#define RELAY_PIPES 16
#define RELAY_PIPE_WORDS 3
#define RELAY_TABLE_WORDS (MAX_RELAYS * RELAY_WORDS + RELAY_PIPES * RELAY_PIPE_WORDS)

struct relays {
  const struct addon *addon;
  int32_t *table;
  uint32_t budget; /* bytes that are left for this turn of the loop */
  uint32_t queue_start, queue_length;
  uint16_t queue[MAX_RELAYS]; /* slots of relays whose source may have more bytes */
};

/*
 * Handles the events of a descriptor with its relay, if there is one. `token` has the slot and the generation. Returns
 * true when the events are handled completely. Otherwise JavaScript must handle the events that are left in `*events`.
 */
bool handle_with_relay(struct relays *relays, uint64_t token, uint32_t *events);
/*
 * Continues queued relays within the budget. If a relay stops, the function returns true and stores the token of that
 * relay. JavaScript must handle that descriptor, and further relays may be queued. Returns false when the queue is
 * empty or the budget is spent.
 */
bool run_queued_relays(struct relays *relays, uint64_t *token);

/* poller.c */
/*
 * Maximum number of events of one batch. JavaScript reads from all descriptors of a batch before the program answers
 * the first peer. In a small batch the memory of a connection is still in the CPU cache when its answer is sent.
 */
#define MAX_EVENTS 64
#define HEADER_WORDS 6
#define EVENT_WORDS 3
#define RELAY_TABLE_START (HEADER_WORDS + EVENT_WORDS * MAX_EVENTS)
#define SHARED_WORDS (RELAY_TABLE_START + RELAY_TABLE_WORDS)
/* Indices of the words that poller.c describes. */
enum { WAITING = 0, REFERENCED = 1, EVENT_COUNT = 2, SAME_TURN = 3, POLLER_NUMBER = 4, REPORTS_TURNS = 5 };

/*
 * A backend waits for the epoll descriptor of a poller and keeps the process alive. All functions run on the thread of
 * the environment.
 */
struct backend {
  /* Returns 0, or -errno after releasing everything that it created. */
  int (*start)(struct poller *poller);
  void (*ref)(struct poller *poller);
  void (*unref)(struct poller *poller);
  /* Ends the backend, then calls poller_free(), perhaps in a later turn of the loop. The environment may be ending. */
  void (*end)(struct poller *poller);
  /* call_js_from_uv() or call_js_from_node_api(), as the callbacks of the backend require. */
  bool (*call_js)(napi_env env, napi_ref callback, size_t count, const napi_value *arguments);
  /*
   * Called by pollerTurned(). Returns whether JavaScript must call pollerTurned() in the next turn too. NULL if the
   * backend does not need pollerTurned().
   */
  bool (*loop_turned)(struct poller *poller);
};
extern const struct backend uv_backend, thread_backend;

struct poller {
  struct addon *addon;
  napi_env env;
  const struct backend *backend;
  void *data; /* of the backend: struct handles or struct watcher */
  int epfd;
  /* Index in the list of the environment. */
  size_t number;
  /*
   * The references `array` and `callback` are strong, and the process stays alive: calls wait, or waited a short time
   * ago.
   */
  bool referenced;
  /* epoll_wait(2) has failed permanently, and JavaScript has its errno. The backend waits for no more events. */
  bool failed;
  int32_t *shared;
  napi_ref array;
  napi_ref callback;
  /* Memory that the finalizer of the array frees. It contains a pointer to this poller, NULL after poller_end(). */
  struct poller **weak_pointer;
  struct relays relays;
  struct epoll_event events[MAX_EVENTS];
};

/*
 * Called when the epoll descriptor is readable. Returns true while relays are queued: the backend must then call
 * poller_continue_relays() without waiting for an event.
 */
bool poller_readable(struct poller *poller);
bool poller_continue_relays(struct poller *poller);
/* Whether no call waits although the references are strong. Then poller_unreference() must be called. */
static inline bool poller_is_idle(const struct poller *poller) {
  return poller->referenced && poller->shared[WAITING] == 0;
}
/* Makes the references weak. The poller no longer keeps the process alive. */
void poller_unreference(struct poller *poller);
/* Closes the epoll descriptor and frees the poller. */
void poller_free(struct poller *poller);
/* Ends the poller and frees its number. The backend calls poller_free() when it no longer uses the descriptor. */
void poller_end(struct poller *poller);

#endif
