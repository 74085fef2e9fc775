/* What the poller and its two ways to wait share. */
#ifndef BERKELEY_POLLER_H
#define BERKELEY_POLLER_H

#include "addon.h"

#include <sys/epoll.h>

#define MAX_EVENTS 1024
#define HEADER 6
#define RELAY_TABLE (HEADER + 3 * MAX_EVENTS)
#define WORDS (RELAY_TABLE + RELAY_TABLE_WORDS)
enum { WAITING = 0, REFERENCED = 1, COUNT = 2, FOLLOWS = 3, NUMBER = 4, SAYS_TURNED = 5 };

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
  bool (*turned)(struct poller *poller);
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
  struct poller **link;
  struct relays relays;
  struct epoll_event events[MAX_EVENTS];
};

/* The epoll descriptor is readable. True while relays are queued: poller_go_on() is due, without an event. */
bool poller_readable(struct poller *poller);
bool poller_go_on(struct poller *poller);
/* To be called between events: when no call waits, the process need not stay alive for the poller. */
static inline bool poller_idles(const struct poller *poller) {
  return poller->referenced && poller->shared[WAITING] == 0;
}
void poller_rest(struct poller *poller);
/* Closes the epoll descriptor and frees the poller. */
void poller_free(struct poller *poller);

#endif
