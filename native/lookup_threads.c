/*
 * The queue of lookups and the threads that run them.
 *
 * getaddrinfo(3) and similar functions block a thread, for many seconds when a server does not respond, and no call can
 * stop them. On the thread pool of Node.js they would delay file reads, compression and cryptography. So each
 * environment has its own threads for lookups, with these limits:
 *
 *   MAX_AWAITED_LOOKUPS  threads that run a lookup for a waiting caller. Further lookups wait in the queue.
 *   MAX_LOOKUP_THREADS   all threads except local ones. A lookup that all callers have abandoned runs until the C
 *                        library returns, and does not count for MAX_AWAITED_LOOKUPS: another thread may start. The
 *                        difference between the limits is the number of abandoned lookups that can run beside
 *                        awaited ones.
 *   MAX_LOCAL_THREADS    additional threads for lookups that need no server: a literal, or an entry of the hosts file.
 *                        They find these lookups in the queue and run them at once, so these lookups never wait for
 *                        the DNS.
 *
 * A thread ends after IDLE_SECONDS without work. All threads are detached and block every signal.
 *
 * The end of an environment does not wait for a thread. `struct lookups` has a reference count: each thread holds one
 * reference, and the environment holds one. The cleanup hook sets `closed` under the mutex. A thread that returns from
 * the C library after that frees its request and calls no function of Node-API. Node unloads an addon when the last
 * worker that loaded it ends. So the first lookup pins the library, and its code stays mapped.
 *
 * Results go into a list, and a threadsafe function notifies the environment. It keeps the loop alive exactly while a
 * caller waits. All calls of it are made under the mutex after a check of `closed`, so none is made after its release.
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

static struct lookup_list *get_queue(struct lookups *lookups, const struct lookup *lookup) {
  return lookup->state == LOOKUP_QUEUED ? &lookups->unclassified : &lookups->remote;
}

/* Inserts a lookup by its ticket, mostly at the end of its list. */
static void enqueue_lookup(struct lookups *lookups, struct lookup *lookup) {
  struct lookup_list *list = get_queue(lookups, lookup);
  struct lookup *before = NULL, *last = list->last;
  for (; last != NULL && last->ticket > lookup->ticket; last = last->previous) before = last;
  list_insert(list, before, lookup);
  lookups->queue_length++;
}

void dequeue_lookup(struct lookups *lookups, struct lookup *lookup) {
  list_remove(get_queue(lookups, lookup), lookup);
  lookups->queue_length--;
}

/* The lookup with the lowest ticket. */
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

/* Passes a finished lookup to the environment. The caller holds the mutex. */
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
  /* When an abandoned lookup is resumed, there can be one thread too many, and this loop ends it. */
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
  /* The signal of assign_threads() for a queued lookup may have woken this thread. */
  if (!lookups->closed) assign_threads(lookups);
  release_lookups(lookups);
  return NULL;
}

/*
 * Classifies the queued lookups, while there are more lookups than threads. Runs the local ones and puts the others
 * back in their order.
 */
static void *run_local_lookups(void *data) {
  struct lookups *lookups = data;
  pthread_mutex_lock(&lookups->mutex);
  while (!lookups->closed && lookups->unclassified.first != NULL) {
    struct lookup *lookup = lookups->unclassified.first;
    dequeue_lookup(lookups, lookup);
    /* While it is classified, the lookup is in this list, so that the cleanup hook and abandonLookup() find it. */
    lookup->state = LOOKUP_CLASSIFYING;
    list_insert(&lookups->running, NULL, lookup);
    pthread_mutex_unlock(&lookups->mutex);
    bool local = lookup->is_local(lookup);
    pthread_mutex_lock(&lookups->mutex);
    list_remove(&lookups->running, lookup);
    if (lookups->closed || !lookup->awaited) {
      /* Without a ticket no caller can resume it. */
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

/* Starts a thread, which holds its own reference. */
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
  /* A thread that runs an abandoned lookup may not return for many seconds. */
  bool unserved = lookups->threads == lookups->abandoned_threads && lookups->local_threads == 0;
  if (!unserved || lookups->threads >= MAX_LOOKUP_THREADS) return true;
  dequeue_lookup(lookups, lookup);
  return false;
}
