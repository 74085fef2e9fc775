/* What the poller and its two ways to wait share. */
#ifndef BERKELEY_POLLER_H
#define BERKELEY_POLLER_H

#include "addon.h"
#include "relay.h"

#include <sys/epoll.h>

#define MAX_EVENTS 1024
#define HEADER_WORDS 6
#define RELAY_TABLE_START (HEADER_WORDS + 3 * MAX_EVENTS)
#define SHARED_WORDS (RELAY_TABLE_START + RELAY_TABLE_WORDS)
enum { WAITING_CALLS = 0, KEEPS_ALIVE = 1, EVENT_COUNT = 2, IS_CONTINUATION = 3, POLLER_NUMBER = 4, NEEDS_TURNED = 5 };

/*
 * How a poller waits for its epoll descriptor, and how it keeps the process alive. All functions run on the thread of the
 * environment.
 */
struct backend {
  /* 0, or -errno; then nothing of the backend is left. */
  int (*start)(struct poller *poller);
  void (*ref)(struct poller *poller);
  void (*unref)(struct poller *poller);
  /* Ends the backend, then calls poller_free(), perhaps in a later turn of the loop. The environment may be ending. */
  void (*end)(struct poller *poller);
  /* Calls JavaScript from where the backend runs the poller. */
  bool (*call)(napi_env env, napi_ref callback, size_t count, const napi_value *arguments);
  /* The loop has turned since JavaScript was called: whether it is to be told of the next turn too. NULL if no one has to say. */
  bool (*loop_turned)(struct poller *poller);
};
extern const struct backend uv_backend, thread_backend;

struct poller {
  struct addon *addon;
  napi_env env;
  const struct backend *backend;
  void *data; /* the backend's own */
  int epfd;
  /* Its place in the list of the environment. */
  size_t number;
  /* Calls wait, or waited a moment ago: the references are strong, and the process stays alive. */
  bool referenced;
  /* epoll_wait(2) has failed for good, and JavaScript has its errno: the backend does not wait for events any more. */
  bool failed;
  int32_t *shared;
  napi_ref array;
  napi_ref callback;
  /* What the finalizer of the array holds. */
  struct poller **weak_pointer;
  struct relays relays;
  struct epoll_event events[MAX_EVENTS];
};

/* The epoll descriptor is readable. True while relays are queued: poller_go_on() is due, without an event. */
bool poller_readable(struct poller *poller);
bool poller_continue_relays(struct poller *poller);
/* To be called between events: when no call waits, the process need not stay alive for the poller. */
static inline bool poller_is_idle(const struct poller *poller) {
  return poller->referenced && poller->shared[WAITING_CALLS] == 0;
}
void poller_unreference(struct poller *poller);
/* Closes the epoll descriptor and frees the poller. */
void poller_free(struct poller *poller);
/* END */
void poller_end(struct poller *poller);

#endif
