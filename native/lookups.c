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
#include "lookups.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#define LOOKUPS 64
#define LOOKUPS_AT_MOST 192
#define LOCAL_LOOKUPS 8
#define IDLE_SECONDS 5

struct list {
  struct lookup *first, *last;
};

struct lookups {
  pthread_mutex_t mutex;
  pthread_cond_t work;
  unsigned references;
  bool closed;
  napi_threadsafe_function wake; /* valid while not closed */

  /* The queue, in the order of tickets: what no local thread has looked at, and what one has found to need a server. */
  struct list fresh, remote;
  struct list running; /* with those that are being looked at */
  struct list answered;
  unsigned queued; /* length of the queue */
  unsigned threads;   /* without the local ones */
  unsigned idle;      /* of these */
  unsigned abandoned; /* of these: run a lookup that no caller waits for */
  unsigned local_threads;
  unsigned local_busy; /* of these: run a lookup */

  /* Used by the thread of the environment alone. */
  struct addon *addon;
  int64_t last_ticket;
  unsigned waiting; /* lookups that a caller waits for */
  bool referenced;  /* the threadsafe function keeps the loop alive */
};

static void insert(struct list *list, struct lookup *before, struct lookup *lookup) {
  lookup->next = before;
  lookup->previous = before == NULL ? list->last : before->previous;
  if (lookup->previous == NULL) list->first = lookup;
  else lookup->previous->next = lookup;
  if (before == NULL) list->last = lookup;
  else before->previous = lookup;
}

static void take_out(struct list *list, struct lookup *lookup) {
  if (lookup->previous == NULL) list->first = lookup->next;
  else lookup->previous->next = lookup->next;
  if (lookup->next == NULL) list->last = lookup->previous;
  else lookup->next->previous = lookup->previous;
}

static struct lookup *find(const struct list *list, int64_t ticket) {
  for (struct lookup *lookup = list->first; lookup != NULL; lookup = lookup->next) {
    if (lookup->ticket == ticket) return lookup;
  }
  return NULL;
}

static struct list *queue_of(struct lookups *lookups, const struct lookup *lookup) {
  return lookup->state == LOOKUP_QUEUED ? &lookups->fresh : &lookups->remote;
}

/* Puts a lookup into the queue, where its ticket has its place: mostly the end. */
static void enqueue(struct lookups *lookups, struct lookup *lookup) {
  struct list *list = queue_of(lookups, lookup);
  struct lookup *before = NULL, *last = list->last;
  for (; last != NULL && last->ticket > lookup->ticket; last = last->previous) before = last;
  insert(list, before, lookup);
  lookups->queued++;
}

static void dequeue(struct lookups *lookups, struct lookup *lookup) {
  take_out(queue_of(lookups, lookup), lookup);
  lookups->queued--;
}

/* The one that has waited longest. */
static struct lookup *next_queued(const struct lookups *lookups) {
  struct lookup *fresh = lookups->fresh.first, *remote = lookups->remote.first;
  if (fresh == NULL || remote == NULL) return fresh == NULL ? remote : fresh;
  return fresh->ticket < remote->ticket ? fresh : remote;
}

/* Unlocks and drops a reference. */
static void release(struct lookups *lookups) {
  bool last = --lookups->references == 0;
  pthread_mutex_unlock(&lookups->mutex);
  if (!last) return;
  pthread_cond_destroy(&lookups->work);
  pthread_mutex_destroy(&lookups->mutex);
  free(lookups);
}

/* A lookup has its answer. Called with the mutex. */
static void deliver(struct lookups *lookups, struct lookup *lookup) {
  if (lookups->closed) {
    lookup->discard(lookup);
    return;
  }
  bool first = lookups->answered.first == NULL;
  lookup->state = LOOKUP_ANSWERED;
  insert(&lookups->answered, NULL, lookup);
  if (first) napi_call_threadsafe_function(lookups->wake, NULL, napi_tsfn_nonblocking);
}

/* Asks, without the mutex meanwhile, a lookup that is in no list. */
static void run(struct lookups *lookups, struct lookup *lookup, bool local) {
  lookup->state = LOOKUP_RUNNING;
  lookup->local = local;
  insert(&lookups->running, NULL, lookup);
  if (local) lookups->local_busy++;
  pthread_mutex_unlock(&lookups->mutex);
  lookup->ask(lookup);
  pthread_mutex_lock(&lookups->mutex);
  take_out(&lookups->running, lookup);
  if (local) lookups->local_busy--;
  else if (!lookup->wanted) lookups->abandoned--;
  deliver(lookups, lookup);
}

/* Waits for work; false when there has been none for long enough. */
static bool wait_for_work(struct lookups *lookups) {
  struct timespec end;
  clock_gettime(CLOCK_MONOTONIC, &end);
  end.tv_sec += IDLE_SECONDS;
  lookups->idle++;
  int result = pthread_cond_timedwait(&lookups->work, &lookups->mutex, &end);
  lookups->idle--;
  return result == 0 || lookups->queued > 0;
}

static void staff(struct lookups *lookups);

static void *serve(void *data) {
  struct lookups *lookups = data;
  pthread_mutex_lock(&lookups->mutex);
  /* A thread that was started in place of an abandoned one ends when there is no room for both any more. */
  while (!lookups->closed && lookups->threads - lookups->abandoned <= LOOKUPS) {
    struct lookup *lookup = next_queued(lookups);
    if (lookup != NULL) {
      dequeue(lookups, lookup);
      run(lookups, lookup, false);
    } else if (!wait_for_work(lookups)) {
      break;
    }
  }
  lookups->threads--;
  /* The signal for a lookup in the queue may have been for this thread. */
  if (!lookups->closed) staff(lookups);
  release(lookups);
  return NULL;
}

/* Goes through the queue while more lookups wait than may run: asks what is local, and leaves the rest in its place. */
static void *serve_local(void *data) {
  struct lookups *lookups = data;
  pthread_mutex_lock(&lookups->mutex);
  while (!lookups->closed && lookups->fresh.first != NULL) {
    struct lookup *lookup = lookups->fresh.first;
    dequeue(lookups, lookup);
    /* The list of those that run, where the closing hook and an abandoning caller find it. */
    lookup->state = LOOKUP_SORTED;
    lookup->local = true;
    insert(&lookups->running, NULL, lookup);
    pthread_mutex_unlock(&lookups->mutex);
    bool local = lookup->is_local(lookup);
    pthread_mutex_lock(&lookups->mutex);
    take_out(&lookups->running, lookup);
    if (lookups->closed || !lookup->wanted) {
      /* Without a ticket no caller can take it up again. */
      lookup->ticket = 0;
      lookup->fail(lookup);
      deliver(lookups, lookup);
    } else if (local) {
      run(lookups, lookup, true);
    } else {
      lookup->local = false;
      enqueue(lookups, lookup);
      staff(lookups);
    }
  }
  lookups->local_threads--;
  release(lookups);
  return NULL;
}

/* Starts a thread, which has a reference of its own. */
static int start_thread(struct lookups *lookups, void *(*work)(void *)) {
  pthread_t thread;
  pthread_attr_t attributes;
  sigset_t all, before;
  int error = pthread_attr_init(&attributes);
  if (error != 0) return -error;
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  /* Signals are for the threads that can handle them. */
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  error = pthread_create(&thread, &attributes, work, lookups);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attributes);
  if (error != 0) return -error;
  lookups->references++;
  return 0;
}

/* Sees to it that what is queued is served, as far as the bounds allow. Called with the mutex. */
static void staff(struct lookups *lookups) {
  if (lookups->queued == 0) return;
  if (lookups->idle > 0) pthread_cond_signal(&lookups->work);
  if (lookups->queued <= lookups->idle) return;
  if (lookups->threads - lookups->abandoned < LOOKUPS && lookups->threads < LOOKUPS_AT_MOST &&
      start_thread(lookups, serve) == 0) {
    lookups->threads++;
    return;
  }
  if (lookups->fresh.first != NULL && lookups->local_busy == lookups->local_threads &&
      lookups->local_threads < LOCAL_LOOKUPS && start_thread(lookups, serve_local) == 0) {
    lookups->local_threads++;
  }
}

/* The loop is kept alive while a caller waits. */
static void keep_alive(napi_env env, struct lookups *lookups) {
  bool wanted = lookups->waiting > 0;
  if (wanted == lookups->referenced) return;
  lookups->referenced = wanted;
  if (wanted) napi_ref_threadsafe_function(env, lookups->wake);
  else napi_unref_threadsafe_function(env, lookups->wake);
}

static void free_lookup(napi_env env, struct lookup *lookup) {
  if (lookup->callback != NULL) napi_delete_reference(env, lookup->callback);
  lookup->discard(lookup);
}

static void on_wake(napi_env env, napi_value unused, void *context, void *data) {
  (void)unused;
  (void)data;
  struct lookups *lookups = context;
  /* The environment is ending, and the hook below has done all there is to do. */
  if (env == NULL) return;
  for (bool going = true; going;) {
    pthread_mutex_lock(&lookups->mutex);
    struct lookup *lookup = lookups->answered.first;
    if (lookup != NULL) take_out(&lookups->answered, lookup);
    pthread_mutex_unlock(&lookups->mutex);
    if (lookup == NULL) break;
    if (lookup->wanted) lookups->waiting--;
    keep_alive(env, lookups);
    napi_handle_scope scope;
    going = napi_open_handle_scope(env, &scope) == napi_ok;
    if (going) {
      napi_value parts[3];
      if (lookup->answer(env, lookup, parts)) call_back(env, lookup->callback, 3, parts);
      napi_close_handle_scope(env, scope);
    }
    free_lookup(env, lookup);
  }
}

/* The hook of the environment's end. It runs before the one of the threadsafe function, which was registered earlier. */
static void close_lookups(void *data) {
  struct lookups *lookups = data;
  napi_env env = lookups->addon->env;
  lookups->addon->lookups = NULL;
  pthread_mutex_lock(&lookups->mutex);
  lookups->closed = true;
  struct list *const lists[] = {&lookups->fresh, &lookups->remote, &lookups->answered};
  for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
    for (struct lookup *lookup = lists[i]->first, *next; lookup != NULL; lookup = next) {
      next = lookup->next;
      free_lookup(env, lookup);
    }
    lists[i]->first = lists[i]->last = NULL;
  }
  lookups->queued = 0;
  for (struct lookup *lookup = lookups->running.first; lookup != NULL; lookup = lookup->next) {
    napi_delete_reference(env, lookup->callback);
    lookup->callback = NULL;
  }
  pthread_cond_broadcast(&lookups->work);
  napi_threadsafe_function wake = lookups->wake;
  release(lookups);
  napi_release_threadsafe_function(wake, napi_tsfn_abort);
}

static int open_lookups(napi_env env, struct addon *addon) {
  /* A thread may return into this library at any time. */
  if (!pin()) return -ELIBACC;
  struct lookups *lookups = calloc(1, sizeof *lookups);
  if (lookups == NULL) return -ENOMEM;
  lookups->addon = addon;
  lookups->references = 1;
  pthread_condattr_t attributes;
  pthread_mutex_init(&lookups->mutex, NULL);
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&lookups->work, &attributes);
  pthread_condattr_destroy(&attributes);
  napi_value name;
  if (napi_create_string_utf8(env, "berkeley lookups", NAPI_AUTO_LENGTH, &name) == napi_ok &&
      napi_create_threadsafe_function(env, NULL, NULL, name, 0, 1, NULL, NULL, lookups, on_wake, &lookups->wake) ==
          napi_ok) {
    napi_unref_threadsafe_function(env, lookups->wake);
    if (napi_add_env_cleanup_hook(env, close_lookups, lookups) == napi_ok) {
      addon->lookups = lookups;
      return 0;
    }
    napi_release_threadsafe_function(lookups->wake, napi_tsfn_abort);
  }
  pthread_mutex_lock(&lookups->mutex);
  release(lookups);
  return -ENOMEM;
}

int64_t lookup_start(napi_env env, struct lookup *lookup, napi_value callback) {
  struct addon *addon = addon_of(env);
  if (addon == NULL || addon->ended) return -ECANCELED;
  if (addon->lookups == NULL) {
    int error = open_lookups(env, addon);
    if (error != 0) return error;
  }
  struct lookups *lookups = addon->lookups;
  if (napi_create_reference(env, callback, 1, &lookup->callback) != napi_ok) return -ENOMEM;
  lookup->ticket = ++lookups->last_ticket;
  lookup->wanted = true;
  pthread_mutex_lock(&lookups->mutex);
  enqueue(lookups, lookup);
  staff(lookups);
  /* No thread will come back to it. One that runs an abandoned lookup may take many seconds. */
  bool alone = lookups->threads == lookups->abandoned && lookups->local_threads == 0;
  if (alone && lookups->threads < LOOKUPS_AT_MOST) dequeue(lookups, lookup);
  else alone = false;
  pthread_mutex_unlock(&lookups->mutex);
  if (alone) {
    napi_delete_reference(env, lookup->callback);
    lookup->callback = NULL;
    return -EAGAIN;
  }
  lookups->waiting++;
  keep_alive(env, lookups);
  return lookup->ticket;
}

/*
 * abandonLookup(ticket): no caller waits any more. 0 when the lookup is gone and its callback will not be called, 1 when it
 * can't be stopped: its callback will be called, and resumeLookup() may take it up again until then.
 */
static napi_value call_abandon_lookup(napi_env env, napi_callback_info info) {
  struct args args;
  int64_t ticket;
  struct addon *addon = addon_of(env);
  if (addon == NULL || !read_args(env, info, 1, &args) || !arg_offset(&args, 0, &ticket)) return NULL;
  struct lookups *lookups = addon->lookups;
  if (lookups == NULL) return number(env, -ENOENT);
  pthread_mutex_lock(&lookups->mutex);
  struct lookup *queued = find(&lookups->remote, ticket);
  if (queued == NULL) queued = find(&lookups->fresh, ticket);
  struct lookup *lookup = queued;
  if (queued != NULL) dequeue(lookups, queued);
  else lookup = find(&lookups->running, ticket);
  if (lookup == NULL) lookup = find(&lookups->answered, ticket);
  bool was_wanted = lookup != NULL && lookup->wanted;
  if (was_wanted) {
    lookup->wanted = false;
    if (lookup->state == LOOKUP_RUNNING && !lookup->local) {
      lookups->abandoned++;
      staff(lookups);
    }
  }
  pthread_mutex_unlock(&lookups->mutex);
  if (lookup == NULL) return number(env, -ENOENT);
  if (was_wanted) lookups->waiting--;
  if (queued != NULL) free_lookup(env, queued);
  keep_alive(env, lookups);
  return number(env, queued == NULL);
}

/* resumeLookup(ticket): a caller waits again for one that was abandoned. */
static napi_value call_resume_lookup(napi_env env, napi_callback_info info) {
  struct args args;
  int64_t ticket;
  struct addon *addon = addon_of(env);
  if (addon == NULL || !read_args(env, info, 1, &args) || !arg_offset(&args, 0, &ticket)) return NULL;
  struct lookups *lookups = addon->lookups;
  if (lookups == NULL) return number(env, -ENOENT);
  pthread_mutex_lock(&lookups->mutex);
  struct lookup *lookup = find(&lookups->running, ticket);
  if (lookup == NULL) lookup = find(&lookups->answered, ticket);
  bool was_wanted = lookup != NULL && lookup->wanted;
  if (lookup != NULL && !was_wanted) {
    lookup->wanted = true;
    if (lookup->state == LOOKUP_RUNNING && !lookup->local) lookups->abandoned--;
  }
  pthread_mutex_unlock(&lookups->mutex);
  if (lookup == NULL) return number(env, -ENOENT);
  if (!was_wanted) lookups->waiting++;
  keep_alive(env, lookups);
  return number(env, 0);
}

bool init_lookups(napi_env env, napi_value exports) {
  static const struct entry entries[] = {
      {"abandonLookup", call_abandon_lookup},
      {"resumeLookup", call_resume_lookup},
  };
  return EXPORT_ALL(env, exports, entries);
}
