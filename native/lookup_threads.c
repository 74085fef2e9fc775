/*
 * Lookups on threads of our own.
 *
 * getaddrinfo(3) and its kin block a thread, for many seconds when a server is silent, and nothing can stop them. On the thread
 * pool of the engine they would take the place of file reads, compression and cryptography. So each environment has threads
 * for its lookups, under these bounds:
 *
 *   LOOKUPS          threads whose lookup a caller waits for. A lookup above the bound waits in a queue.
 *   LOOKUPS_AT_MOST  threads altogether. A lookup that every caller has abandoned goes on until the C library gives up, but
 *                    leaves its place: another thread may start. The difference is room for abandoned ones.
 *   LOCAL_LOOKUPS    threads that serve the queue in addition. They look for questions that need no server (a literal, an
 *                    entry of the file of hosts) and ask these at once, so that such a question never waits for the DNS.
 *
 * A thread ends when it has been idle for IDLE_SECONDS. All threads are detached and block every signal.
 *
 * The end of an environment does not wait for a thread. `struct lookups` is counted: each thread holds a reference, and the
 * environment holds one. The closing hook sets `closed` under the mutex; a thread that returns from the C library after that
 * frees its question and calls nothing of Node-API. Node unloads an addon when the last worker that loaded it ends, so
 * the first thread pins the object: its code stays mapped for good.
 *
 * Answers go into a list. A threadsafe function is the signal that there are some; it keeps the loop alive exactly while a
 * caller waits. All calls of it stand under the mutex and the check of `closed`, so none can follow its end.
 */
#include "lookup_threads.h"
#include "threads.h"

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

/* Puts a lookup into the queue, where its ticket has its place: mostly the end. */
static void enqueue(struct lookups *lookups, struct lookup *lookup) {
  struct lookup_list *list = get_queue(lookups, lookup);
  struct lookup *before = NULL, *last = list->last;
  for (; last != NULL && last->ticket > lookup->ticket; last = last->previous) before = last;
  list_insert(list, before, lookup);
  lookups->queue_length++;
}

void dequeue(struct lookups *lookups, struct lookup *lookup) {
  list_remove(get_queue(lookups, lookup), lookup);
  lookups->queue_length--;
}

/* The one that has waited longest. */
static struct lookup *oldest_queued(const struct lookups *lookups) {
  struct lookup *unclassified = lookups->unclassified.first, *remote = lookups->remote.first;
  if (unclassified == NULL || remote == NULL) return unclassified == NULL ? remote : unclassified;
  return unclassified->ticket < remote->ticket ? unclassified : remote;
}

/* Unlocks and drops a reference. */
void release_lookups(struct lookups *lookups) {
  bool last = --lookups->references == 0;
  pthread_mutex_unlock(&lookups->mutex);
  if (!last) return;
  pthread_cond_destroy(&lookups->work_available);
  pthread_mutex_destroy(&lookups->mutex);
  free(lookups);
}

/* A lookup has its answer. Called with the mutex. */
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

/* Asks, without the mutex meanwhile, a lookup that is in no list. */
static void run_lookup(struct lookups *lookups, struct lookup *lookup, bool local) {
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

/* Waits for work; false when there has been none for long enough. */
static bool wait_for_work(struct lookups *lookups) {
  struct timespec end;
  clock_gettime(CLOCK_MONOTONIC, &end);
  end.tv_sec += IDLE_SECONDS;
  lookups->idle_threads++;
  int result = pthread_cond_timedwait(&lookups->work_available, &lookups->mutex, &end);
  lookups->idle_threads--;
  return result == 0 || lookups->queue_length > 0;
}

static void *run_thread(void *data) {
  struct lookups *lookups = data;
  pthread_mutex_lock(&lookups->mutex);
  /* A thread that was started in place of an abandoned one ends when there is no room for both any more. */
  while (!lookups->closed && lookups->threads - lookups->abandoned_threads <= MAX_AWAITED_LOOKUPS) {
    struct lookup *lookup = oldest_queued(lookups);
    if (lookup != NULL) {
      dequeue(lookups, lookup);
      run_lookup(lookups, lookup, false);
    } else if (!wait_for_work(lookups)) {
      break;
    }
  }
  lookups->threads--;
  /* The signal for a lookup in the queue may have been for this thread. */
  if (!lookups->closed) assign_threads(lookups);
  release_lookups(lookups);
  return NULL;
}

/* Goes through the queue while more lookups wait than may run: asks what is local, and leaves the rest in its place. */
static void *run_local_thread(void *data) {
  struct lookups *lookups = data;
  pthread_mutex_lock(&lookups->mutex);
  while (!lookups->closed && lookups->unclassified.first != NULL) {
    struct lookup *lookup = lookups->unclassified.first;
    dequeue(lookups, lookup);
    /* The list of those that run, where the closing hook and an abandoning caller find it. */
    lookup->state = LOOKUP_CLASSIFYING;
    list_insert(&lookups->running, NULL, lookup);
    pthread_mutex_unlock(&lookups->mutex);
    bool local = lookup->is_local(lookup);
    pthread_mutex_lock(&lookups->mutex);
    list_remove(&lookups->running, lookup);
    if (lookups->closed || !lookup->awaited) {
      /* Without a ticket no caller can take it up again. */
      lookup->ticket = 0;
      lookup->fail(lookup);
      complete(lookups, lookup);
    } else if (local) {
      run_lookup(lookups, lookup, true);
    } else {
      lookup->state = LOOKUP_QUEUED_REMOTE;
      enqueue(lookups, lookup);
      assign_threads(lookups);
    }
  }
  lookups->local_threads--;
  release_lookups(lookups);
  return NULL;
}

/* Starts a thread, which has a reference of its own. */
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

/* Sees to it that what is queued is served, as far as the bounds allow. Called with the mutex. */
void assign_threads(struct lookups *lookups) {
  if (lookups->queue_length == 0) return;
  if (lookups->idle_threads > 0) pthread_cond_signal(&lookups->work_available);
  if (lookups->queue_length <= lookups->idle_threads) return;
  if (lookups->threads - lookups->abandoned_threads < MAX_AWAITED_LOOKUPS && lookups->threads < MAX_LOOKUP_THREADS &&
      start_lookup_thread(lookups, run_thread)) {
    lookups->threads++;
    return;
  }
  if (lookups->unclassified.first != NULL && lookups->busy_local_threads == lookups->local_threads &&
      lookups->local_threads < MAX_LOCAL_THREADS && start_lookup_thread(lookups, run_local_thread)) {
    lookups->local_threads++;
  }
}

bool submit_lookup(struct lookups *lookups, struct lookup *lookup) {
  enqueue(lookups, lookup);
  assign_threads(lookups);
  /* No thread will come back to it. One that runs an abandoned lookup may take many seconds. */
  bool unserved = lookups->threads == lookups->abandoned_threads && lookups->local_threads == 0;
  if (!unserved || lookups->threads >= MAX_LOOKUP_THREADS) return true;
  dequeue(lookups, lookup);
  return false;
}
