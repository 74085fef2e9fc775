/*
 * A poller without libuv: a thread waits for the epoll descriptor, and a threadsafe function brings that to the thread of the
 * environment. There all else is as with libuv: events are fetched, relays go on, JavaScript is called.
 *
 * The thread waits in poll(2) for the epoll descriptor and for an eventfd. When the descriptor is readable, it calls the
 * threadsafe function once, and waits for nothing but the eventfd until the loop of the environment has turned. A runtime makes the calls
 * that are queued by then one after the other; the thread would else queue the next while the first is dealt with, and
 * timers would wait for ever.
 *
 * Nothing here knows when the loop turns, so JavaScript calls pollerTurned() in the turn after each call: then relays go on, the thread
 * waits for events again, and the threadsafe function, which keeps the process alive while a call waits, lets go of it when none does.
 */
#include "poller.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct waiter {
  /* NULL once the poller has ended; for the environment's thread alone. */
  struct poller *poller;
  int epfd, wake;
  atomic_bool stop;
  bool ending; /* with the environment */
  bool due;    /* the thread waits until the loop has turned */
  pthread_t thread;
  napi_threadsafe_function function;
};

static void signal_thread(struct waiter *waiter) {
  const uint64_t one = 1;
  /* An eventfd takes it unless it has more than 2^64-2 already. */
  ssize_t written = write(waiter->wake, &one, sizeof one);
  (void)written;
}

static void *wait_for_events(void *data) {
  struct waiter *waiter = data;
  bool told = false;
  for (;;) {
    /* A negative number has poll(2) pass over the entry. */
    struct pollfd entries[] = {{.fd = waiter->wake, .events = POLLIN},
                               {.fd = told ? -1 : waiter->epfd, .events = POLLIN}};
    if (poll(entries, 2, -1) < 0) continue;
    if (atomic_load(&waiter->stop)) break;
    if (entries[0].revents != 0) {
      uint64_t count;
      if (read(waiter->wake, &count, sizeof count) == sizeof count) told = false;
      continue;
    }
    napi_status status = napi_call_threadsafe_function(waiter->function, NULL, napi_tsfn_nonblocking);
    /* The environment is ending: the function must not be touched any more. */
    if (status == napi_closing) return NULL;
    told = status == napi_ok;
  }
  napi_release_threadsafe_function(waiter->function, napi_tsfn_abort);
  return NULL;
}

static void on_call(napi_env env, napi_value function, void *context, void *data) {
  (void)function;
  (void)data;
  struct waiter *waiter = context;
  if (env == NULL || waiter->poller == NULL) return;
  waiter->due = true;
  poller_readable(waiter->poller);
}

static bool turned(struct poller *poller) {
  struct waiter *waiter = poller->data;
  bool more = poller->relays.queued > 0 && poller_go_on(poller);
  if (waiter->due) {
    waiter->due = false;
    /* Once epoll_wait(2) has failed the thread has nothing to wait for. */
    if (!poller->failed) signal_thread(waiter);
  }
  return more;
}

static void on_finalized(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  free(data);
}

static void end_environment(void *data) {
  struct waiter *waiter = data;
  waiter->ending = true;
  poller_end(waiter->poller);
}

static void stop(struct waiter *waiter) {
  atomic_store(&waiter->stop, true);
  signal_thread(waiter);
  pthread_join(waiter->thread, NULL);
  close(waiter->wake);
  waiter->poller = NULL;
}

static void end(struct poller *poller) {
  struct waiter *waiter = poller->data;
  /* Not the hook that is running: Deno crashes in that. */
  if (!waiter->ending) napi_remove_env_cleanup_hook(poller->env, end_environment, waiter);
  stop(waiter);
  poller_free(poller);
}

/* Signals are for the threads of the runtime. */
static int start_thread(struct waiter *waiter) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = pthread_create(&waiter->thread, NULL, wait_for_events, waiter);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return -error;
}

static int start(struct poller *poller) {
  napi_env env = poller->env;
  napi_value name;
  struct waiter *waiter = calloc(1, sizeof *waiter);
  if (waiter == NULL) return -ENOMEM;
  waiter->poller = poller;
  waiter->epfd = poller->epfd;
  waiter->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (waiter->wake < 0) {
    int error = errno;
    free(waiter);
    return -error;
  }
  if (napi_create_string_utf8(env, "berkeley", NAPI_AUTO_LENGTH, &name) != napi_ok ||
      napi_create_threadsafe_function(env, NULL, NULL, name, 0, 1, waiter, on_finalized, waiter, on_call,
                                      &waiter->function) != napi_ok) {
    close(waiter->wake);
    free(waiter);
    return -ENOMEM;
  }
  /* From here on on_finalized() frees the waiter. */
  int wake = waiter->wake;
  napi_unref_threadsafe_function(env, waiter->function);
  int error = start_thread(waiter);
  if (error == 0 && napi_add_env_cleanup_hook(env, end_environment, waiter) != napi_ok) {
    stop(waiter);
    return -ENOMEM;
  }
  if (error != 0) {
    waiter->poller = NULL;
    close(wake);
    napi_release_threadsafe_function(waiter->function, napi_tsfn_abort);
    return error;
  }
  poller->data = waiter;
  poller->shared[SAYS_TURNED] = 1;
  return 0;
}

static void ref(struct poller *poller) {
  napi_ref_threadsafe_function(poller->env, ((struct waiter *)poller->data)->function);
}

static void unref(struct poller *poller) {
  napi_unref_threadsafe_function(poller->env, ((struct waiter *)poller->data)->function);
}

const struct backend thread_backend = {
    .start = start, .ref = ref, .unref = unref, .end = end, .call = call_back, .turned = turned};
