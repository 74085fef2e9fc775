/* The poller, its relays, and the interface of its two backends. */
#ifndef BERKELEY_POLLER_H
#define BERKELEY_POLLER_H

#include "addon.h"

#include <sys/epoll.h>

/* relay.c */

/*
 * Slots of the reactor that have a relay. Each forwarded connection takes two. Unused entries of the table cost only
 * address space. src/reactor/relay.ts has the same number.
 */
#define MAX_RELAYS (1u << 16)
/* The number of relays in the table before the pipes. */
#define RELAYS_BEFORE_PIPES 1024u
#define RELAY_WORDS 10
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
 * Handles an event of `token` with its relay, if there is one. Returns true when the event is handled completely.
 * Otherwise JavaScript must handle the events that are left in `*events`.
 */
bool relay_event(struct relays *relays, uint64_t token, uint32_t *events);
/*
 * Continues queued relays within the budget. Returns true when a relay has stopped, and stores its token: JavaScript
 * must handle it, and further relays may be queued. Returns false when the queue is empty or the budget is spent.
 */
bool relay_queued(struct relays *relays, uint64_t *token);

/* poller.c */
/*
 * The most events of one batch. JavaScript reads from all descriptors of a batch before the program answers the first of
 * them. In a small batch the memory of a connection is still in the processor's cache when its answer is sent.
 */
#define MAX_EVENTS 64
#define HEADER_WORDS 6
#define RELAY_TABLE_START (HEADER_WORDS + 3 * MAX_EVENTS)
#define SHARED_WORDS (RELAY_TABLE_START + RELAY_TABLE_WORDS)
enum { WAITING_CALLS = 0, KEEPS_ALIVE = 1, EVENT_COUNT = 2, IS_CONTINUATION = 3, POLLER_NUMBER = 4, NEEDS_TURNED = 5 };

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
  /* Calls JavaScript from the context in which the backend calls the poller. */
  bool (*call)(napi_env env, napi_ref callback, size_t count, const napi_value *arguments);
  /*
   * JavaScript calls this in the turn after it was called. Returns whether it must call again in the next turn. NULL if
   * the backend does not need these calls.
   */
  bool (*loop_turned)(struct poller *poller);
};
extern const struct backend uv_backend, thread_backend;

struct poller {
  struct addon *addon;
  napi_env env;
  const struct backend *backend;
  void *data; /* of the backend */
  int epfd;
  /* Index in the list of the environment. */
  size_t number;
  /* Calls wait, or waited a short time ago. The references are strong, and the process stays alive. */
  bool referenced;
  /*
   * epoll_wait(2) has failed permanently, and JavaScript has its errno. The backend does not wait for events any more.
   */
  bool failed;
  int32_t *shared;
  napi_ref array;
  napi_ref callback;
  /* Memory that the finalizer of the array holds: a pointer to this poller, NULL after the end of the poller. */
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
/* To be checked between events: no call waits, so the poller need not keep the process alive. */
static inline bool poller_is_idle(const struct poller *poller) {
  return poller->referenced && poller->shared[WAITING_CALLS] == 0;
}
void poller_unreference(struct poller *poller);
/* Closes the epoll descriptor and frees the poller. */
void poller_free(struct poller *poller);
/* Ends the poller. Its number is free at once. Its descriptor is closed when the backend does not use it any more. */
void poller_end(struct poller *poller);

#endif
