/*
 * lookups.c: runs resolver requests on threads of the addon, and delivers their results. A request of resolver.c begins
 * with a struct lookup.
 */
#ifndef BERKELEY_LOOKUPS_H
#define BERKELEY_LOOKUPS_H

#include "addon.h"

enum lookup_state {
  LOOKUP_QUEUED,        /* in the queue, not classified yet */
  LOOKUP_CLASSIFYING,   /* a local thread calls is_local() */
  LOOKUP_QUEUED_REMOTE, /* in the queue, needs a server */
  LOOKUP_RUNNING,
  LOOKUP_COMPLETED,
};

struct lookup {
  /*
   * Set by resolver.c. `run`, `is_local` and `fail` run on a lookup thread, `create_result` on the thread of the
   * environment, `destroy` on any thread.
   */
  void (*run)(struct lookup *);
  /* Whether the C library can answer without a server: a literal, or a name in the hosts file. */
  bool (*is_local)(const struct lookup *);
  /* Sets the result of a lookup that ends without being run. */
  void (*fail)(struct lookup *);
  /* Stores status, errno and result in `parts`. Returns false with a pending exception. */
  bool (*create_result)(napi_env, struct lookup *, napi_value parts[3]);
  /* Frees the request. Calls no function of Node-API. */
  void (*destroy)(struct lookup *);

  /* Set by lookups.c and lookup_threads.c. */
  napi_ref callback;
  int64_t ticket;
  struct lookup *previous, *next;
  enum lookup_state state;
  bool awaited; /* a caller waits for the result */
  bool local;   /* while running: a local thread runs it */
};

/*
 * Starts a lookup, whose callback is called with the result. Takes ownership of the lookup and returns a ticket above
 * 0. On failure it returns -errno, and the caller still owns the lookup. Runs on the thread of the environment.
 */
int64_t start_lookup(napi_env env, struct lookup *lookup, napi_value callback);

#endif
