/*
 * The queue of lookups and the threads that run them.
 *
 * getaddrinfo(3) and similar functions block a thread, for many seconds when a server does not respond, and no call can
 * stop them. On the thread pool of Node.js they would delay file reads, compression and cryptography. So each
 * environment has its own threads for lookups.
 *
 * - Lookup threads take lookups from the queue. At most MAX_AWAITED_LOOKUPS of them run a lookup that a caller awaits.
 *   Further lookups wait in the queue. A lookup that all callers have abandoned occupies its thread until the C library
 *   returns; a later caller with an equal request can wait for it again (resumeLookup()). Another lookup thread may
 *   start in its place, up to MAX_LOOKUP_THREADS in total.
 * - At most MAX_LOCAL_THREADS local threads run only lookups that need no server: a numeric address, or an entry of the
 *   hosts file. They start when all lookup threads are busy and no further one can start. So lookups that need no
 *   server do not wait for the DNS.
 *
 * A lookup thread ends after IDLE_SECONDS without work. All threads are detached and block every signal.
 *
 * The end of an environment does not wait for a thread. `struct lookups` has a reference count: each thread holds one
 * reference, and the environment holds one. The cleanup hook sets `closed` under the mutex. If a thread returns from
 * the C library later, it frees its lookup and calls no function of Node-API. Node.js unloads an addon when the last
 * worker that loaded it ends. So the first lookup keeps the addon in memory.
 *
 * Results go into a list, and the threadsafe function `notify` wakes the environment. `notify` keeps the loop alive
 * exactly while a caller waits. A thread calls `notify` only under the mutex and only if `closed` is not set, so no
 * thread calls it after its release.
 */
#include "lookups.h"

#include <stdlib.h>
#include <time.h>

#define MAX_AWAITED_LOOKUPS 64
#define MAX_LOOKUP_THREADS 192
#define MAX_LOCAL_THREADS 8
#define IDLE_SECONDS 5

static void list_insert(struct lookup_list *list, struct lookup *before, struct lookup *lookup) {
  lookup->next = before;
  lookup->previous = before == NULL ? list->last : before->previous;
  if (lookup->previous == NULL) list->first = lookup;
  else lookup->previous->next = lookup;
  if (before == NULL) list->last = lookup;
  else before->previous = lookup;
}

void list_remove(struct lookup_list *list, struct lookup *lookup) {
  if (lookup->previous == NULL) list->first = lookup->next;
  else lookup->previous->next = lookup->next;
  if (lookup->next == NULL) list->last = lookup->previous;
  else lookup->next->previous = lookup->previous;
}

static struct lookup *list_find(const struct lookup_list *list, int64_t ticket) {
  for (struct lookup *lookup = list->first; lookup != NULL; lookup = lookup->next) {
    if (lookup->ticket == ticket) return lookup;
  }
  return NULL;
}

struct lookup *find_lookup(const struct lookups *lookups, int64_t ticket) {
  const struct lookup_list *const lists[] = {&lookups->unclassified, &lookups->remote, &lookups->running,
                                             &lookups->completed};
  struct lookup *lookup = NULL;
  for (size_t i = 0; lookup == NULL && i < sizeof lists / sizeof *lists; i++) lookup = list_find(lists[i], ticket);
  return lookup;
}

/* Returns the one of the two lists of the queue to which a queued lookup belongs. */
static struct lookup_list *get_queue_list(struct lookups *lookups, const struct lookup *lookup) {
  return lookup->state == LOOKUP_QUEUED ? &lookups->unclassified : &lookups->remote;
}

/* Inserts a lookup in the order of tickets. The search starts at the end, where a new lookup belongs. */
static void enqueue_lookup(struct lookups *lookups, struct lookup *lookup) {
  struct lookup_list *list = get_queue_list(lookups, lookup);
  struct lookup *before = NULL, *candidate = list->last;
  for (; candidate != NULL && candidate->ticket > lookup->ticket; candidate = candidate->previous) before = candidate;
  list_insert(list, before, lookup);
  lookups->queue_length++;
}

void dequeue_lookup(struct lookups *lookups, struct lookup *lookup) {
  list_remove(get_queue_list(lookups, lookup), lookup);
  lookups->queue_length--;
}

/* The queued lookup with the lowest ticket, or NULL. */
static struct lookup *oldest_queued(const struct lookups *lookups) {
  struct lookup *unclassified = lookups->unclassified.first, *remote = lookups->remote.first;
  if (unclassified == NULL || remote == NULL) return unclassified == NULL ? remote : unclassified;
  return unclassified->ticket < remote->ticket ? unclassified : remote;
}

void release_lookups(struct lookups *lookups) {
  bool last = --lookups->references == 0;
  pthread_mutex_unlock(&lookups->mutex);
  if (!last) return;
  pthread_cond_destroy(&lookups->work_available);
  pthread_mutex_destroy(&lookups->mutex);
  free(lookups);
}

/* Passes a finished lookup to the environment, or frees it if `closed` is set. The caller holds the mutex. */
static void complete(struct lookups *lookups, struct lookup *lookup) {
  if (lookups->closed) {
    lookup->destroy(lookup);
    return;
  }
  bool first = lookups->completed.first == NULL;
  lookup->state = LOOKUP_COMPLETED;
  list_insert(&lookups->completed, NULL, lookup);
  if (first) napi_call_threadsafe_function(lookups->notify, NULL, napi_tsfn_nonblocking);
}

/* Runs a lookup that is in no list. The mutex is unlocked while it runs. */
static void run_unlocked(struct lookups *lookups, struct lookup *lookup, bool local) {
  lookup->state = LOOKUP_RUNNING;
  lookup->local = local;
  list_insert(&lookups->running, NULL, lookup);
  if (local) lookups->busy_local_threads++;
  pthread_mutex_unlock(&lookups->mutex);
  lookup->run(lookup);
  pthread_mutex_lock(&lookups->mutex);
  list_remove(&lookups->running, lookup);
  if (local) lookups->busy_local_threads--;
  else if (!lookup->awaited) lookups->abandoned_threads--;
  complete(lookups, lookup);
}

/* Waits for work. Returns false after IDLE_SECONDS without work. */
static bool wait_for_work(struct lookups *lookups) {
  struct timespec end;
  clock_gettime(CLOCK_MONOTONIC, &end);
  end.tv_sec += IDLE_SECONDS;
  lookups->idle_threads++;
  int result = pthread_cond_timedwait(&lookups->work_available, &lookups->mutex, &end);
  lookups->idle_threads--;
  return result == 0 || lookups->queue_length > 0;
}

static void *run_lookups(void *data) {
  struct lookups *lookups = data;
  pthread_mutex_lock(&lookups->mutex);
  /*
   * If a caller resumes an abandoned lookup, its thread counts again, and the count may exceed MAX_AWAITED_LOOKUPS.
   * The loop condition ends the threads above the limit.
   */
  while (!lookups->closed && lookups->threads - lookups->abandoned_threads <= MAX_AWAITED_LOOKUPS) {
    struct lookup *lookup = oldest_queued(lookups);
    if (lookup != NULL) {
      dequeue_lookup(lookups, lookup);
      run_unlocked(lookups, lookup, false);
    } else if (!wait_for_work(lookups)) {
      break;
    }
  }
  lookups->threads--;
  /* assign_threads() may have woken this thread for a queued lookup, which then needs another thread. */
  if (!lookups->closed) assign_threads(lookups);
  release_lookups(lookups);
  return NULL;
}

/*
 * A local thread. Classifies the queued lookups one by one: runs each lookup that needs no server, and puts the others
 * back into the queue. Ends when all queued lookups are classified.
 */
static void *run_local_lookups(void *data) {
  struct lookups *lookups = data;
  pthread_mutex_lock(&lookups->mutex);
  while (!lookups->closed && lookups->unclassified.first != NULL) {
    struct lookup *lookup = lookups->unclassified.first;
    dequeue_lookup(lookups, lookup);
    /* During is_local() the lookup is in the list `running`, so that the cleanup hook and abandonLookup() find it. */
    lookup->state = LOOKUP_CLASSIFYING;
    list_insert(&lookups->running, NULL, lookup);
    pthread_mutex_unlock(&lookups->mutex);
    bool local = lookup->is_local(lookup);
    pthread_mutex_lock(&lookups->mutex);
    list_remove(&lookups->running, lookup);
    if (lookups->closed || !lookup->awaited) {
      /* The lookup fails without being run. No caller has ticket 0, so no caller can resume the lookup. */
      lookup->ticket = 0;
      lookup->fail(lookup);
      complete(lookups, lookup);
    } else if (local) {
      run_unlocked(lookups, lookup, true);
    } else {
      lookup->state = LOOKUP_QUEUED_REMOTE;
      enqueue_lookup(lookups, lookup);
      assign_threads(lookups);
    }
  }
  lookups->local_threads--;
  release_lookups(lookups);
  return NULL;
}

/* Starts a detached thread, which gets its own reference to `lookups`. */
static bool start_lookup_thread(struct lookups *lookups, void *(*run)(void *)) {
  pthread_t thread;
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0) return false;
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  bool started = start_thread(&thread, &attributes, run, lookups) == 0;
  pthread_attr_destroy(&attributes);
  if (started) lookups->references++;
  return started;
}

void assign_threads(struct lookups *lookups) {
  if (lookups->queue_length == 0) return;
  if (lookups->idle_threads > 0) pthread_cond_signal(&lookups->work_available);
  if (lookups->queue_length <= lookups->idle_threads) return;
  if (lookups->threads - lookups->abandoned_threads < MAX_AWAITED_LOOKUPS && lookups->threads < MAX_LOOKUP_THREADS &&
      start_lookup_thread(lookups, run_lookups)) {
    lookups->threads++;
    return;
  }
  if (lookups->unclassified.first != NULL && lookups->busy_local_threads == lookups->local_threads &&
      lookups->local_threads < MAX_LOCAL_THREADS && start_lookup_thread(lookups, run_local_lookups)) {
    lookups->local_threads++;
  }
}

bool submit_lookup(struct lookups *lookups, struct lookup *lookup) {
  enqueue_lookup(lookups, lookup);
  assign_threads(lookups);
  /*
   * If no thread will take the lookup, because the system cannot start one, this function fails. Threads that run
   * abandoned lookups do not count, because they may not return for many seconds. At MAX_LOOKUP_THREADS no further
   * thread is allowed. Then the lookup waits in the queue until one of these threads returns.
   */
  bool has_thread = lookups->threads > lookups->abandoned_threads || lookups->local_threads > 0;
  if (has_thread || lookups->threads >= MAX_LOOKUP_THREADS) return true;
  dequeue_lookup(lookups, lookup);
  return false;
}
