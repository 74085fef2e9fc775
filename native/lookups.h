/*
 * Runs resolver requests on threads of the addon, and delivers their results. A request of resolver.c begins with a
 * struct lookup.
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
   * These functions are set by resolver.c. `run`, `is_local` and `fail` run on a lookup thread or local thread,
   * `create_result` runs on the thread of the environment, and `destroy` runs on any thread.
   */
  void (*run)(struct lookup *);
  /* Estimates whether the C library can answer without a server: a numeric address, or an entry of the hosts file. */
  bool (*is_local)(const struct lookup *);
  /* Sets the result of a lookup that ends without being run. */
  void (*fail)(struct lookup *);
  /* Stores status, errno and result in `parts`. Returns false on failure, mostly with an exception pending. */
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
 * Starts a lookup on another thread. `callback` is called with its result. Takes ownership of the lookup and returns a
 * ticket above 0. On failure it returns -errno, and the caller still owns the lookup. Runs on the thread of the
 * environment.
 */
int64_t start_lookup(napi_env env, struct lookup *lookup, napi_value callback);

/* lookup_shortage.c: EMFILE or ENFILE if no descriptor is free at the moment, otherwise 0. */
int descriptor_shortage(void);
/*
 * Returns the EAI_ status of a lookup that ended with `status` and the errno `*error`. If the lookup has failed because
 * no descriptor was free, returns EAI_SYSTEM and stores EMFILE or ENFILE in `*error`. `shortage` is the result of
 * descriptor_shortage() before the lookup: another thread may have closed a descriptor since.
 */
int lookup_outcome(int status, int *error, int shortage);

/* lookup_threads.c: the queue of lookups and the threads that run them. All functions need the mutex locked. */
struct lookup_list {
  struct lookup *first, *last;
};

struct lookups {
  pthread_mutex_t mutex;
  pthread_cond_t work_available;
  unsigned references;
  bool closed;
  napi_threadsafe_function notify; /* valid until `closed` is set */

  /*
   * The queue has two lists, each in the order of tickets: lookups that are not classified yet, and those that need a
   * server.
   */
  struct lookup_list unclassified, remote;
  struct lookup_list running; /* also the lookups that are being classified */
  struct lookup_list completed;
  unsigned queue_length;
  unsigned threads;           /* lookup threads, without local threads */
  unsigned idle_threads;      /* lookup threads that wait for work */
  unsigned abandoned_threads; /* lookup threads that run a lookup that no caller waits for */
  unsigned local_threads;
  unsigned busy_local_threads; /* local threads that run a lookup */

  /* Used only on the thread of the environment. */
  struct addon *addon;
  int64_t last_ticket;
  unsigned awaited_count; /* lookups that a caller waits for */
  bool keeps_loop_alive;  /* the threadsafe function is referenced */
};

void list_remove(struct lookup_list *list, struct lookup *lookup);
/* Searches the queue, the running and the completed lookups. */
struct lookup *find_lookup(const struct lookups *lookups, int64_t ticket);
static inline bool is_queued(const struct lookup *lookup) {
  return lookup->state == LOOKUP_QUEUED || lookup->state == LOOKUP_QUEUED_REMOTE;
}
/* Queues a lookup. If no thread exists for it and the system cannot start one, does not queue it and returns false. */
bool submit_lookup(struct lookups *lookups, struct lookup *lookup);
void dequeue_lookup(struct lookups *lookups, struct lookup *lookup);
/* Wakes or starts a thread, within the limits, if the queue is not empty. */
void assign_threads(struct lookups *lookups);
/* Unlocks the mutex and drops a reference. */
void release_lookups(struct lookups *lookups);

#endif
