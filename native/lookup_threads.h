/* lookup_threads.c: the queue of lookups and the threads that run them. The caller of each function holds the mutex. */
#ifndef BERKELEY_LOOKUP_THREADS_H
#define BERKELEY_LOOKUP_THREADS_H

#include "lookups.h"

#include <pthread.h>

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
  unsigned threads;           /* without local threads */
  unsigned idle_threads;      /* of `threads`: wait for work */
  unsigned abandoned_threads; /* of `threads`: run a lookup that no caller waits for */
  unsigned local_threads;
  unsigned busy_local_threads; /* of `local_threads`: run a lookup */

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
/* Returns false, with the lookup outside the queue, if there is no thread for it and none can be started. */
bool submit_lookup(struct lookups *lookups, struct lookup *lookup);
void dequeue_lookup(struct lookups *lookups, struct lookup *lookup);
/* Wakes or starts a thread for the queue, within the limits. */
void assign_threads(struct lookups *lookups);
/* Unlocks the mutex and drops a reference. */
void release_lookups(struct lookups *lookups);

#endif
