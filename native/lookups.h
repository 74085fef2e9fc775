/*
 * lookups.c: questions to the resolver on threads of our own. A question of names.c begins with a struct lookup.
 */
#ifndef BERKELEY_LOOKUPS_H
#define BERKELEY_LOOKUPS_H

#include "addon.h"

enum lookup_state { LOOKUP_QUEUED, LOOKUP_SORTED, LOOKUP_RUNNING, LOOKUP_ANSWERED };

struct lookup {
  /* What names.c sets. `ask` and `is_local` run on a thread of the pool, the others on that of the environment or, for
     `discard`, on any. */
  void (*ask)(struct lookup *);
  /* Whether the answer needs no server: a literal, or a name that stands in the file of hosts. */
  bool (*is_local)(const struct lookup *);
  /* The question ends without an answer of the resolver: this one is given instead. */
  void (*fail)(struct lookup *);
  /* Fills status, errno and result; false with a pending exception. */
  bool (*answer)(napi_env, struct lookup *, napi_value parts[3]);
  /* Frees the question; makes no call of Node-API. */
  void (*discard)(struct lookup *);

  /* What lookups.c sets. */
  napi_ref callback;
  int64_t ticket;
  struct lookup *previous, *next;
  enum lookup_state state;
  bool wanted; /* a caller waits for the answer */
  bool local;  /* a thread for local questions has it */
};

/*
 * Hands a question over; its callback is called with the answer. Returns a ticket > 0. On -errno the question remains the
 * caller's. Runs on the thread of the environment, as the two below.
 */
int64_t lookup_start(napi_env env, struct lookup *lookup, napi_value callback);

#endif
