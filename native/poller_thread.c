/*
 * The backend of the poller for runtimes without libuv. A thread waits for the epoll descriptor. Then a threadsafe
 * function calls poller_readable() on the thread of the environment.
 *
 * The thread waits in poll(2) for the epoll descriptor and for an eventfd. When the epoll descriptor is readable, the
 * thread calls the threadsafe function once. Then the thread waits only for the eventfd until the loop of the
 * environment has turned. Otherwise the thread would queue the next call while the environment runs the first one. A
 * runtime runs queued calls one after the other, so timers would never run.
 *
 * No function of Node-API reports a turn of the loop. So JavaScript calls pollerTurned() in the turn after each
 * callback. pollerTurned() continues queued relays and lets the thread wait for events again. If no call waits any
 * more, it unreferences the threadsafe function, which then does not keep the process alive.
 */
#include "poller.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct watcher {
  /* Used only on the environment's thread. NULL after the poller has ended. */
  struct poller *poller;
  int epfd, wake_fd;
  atomic_bool stop;
  bool ending;         /* the environment is ending */
  bool waits_for_turn; /* the thread waits for the eventfd until the loop has turned */
  pthread_t thread;
  napi_threadsafe_function notify;
};

static void wake_thread(struct watcher *watcher) {
  const uint64_t one = 1;
  /* The write fails only if the counter of the eventfd is full. Then the eventfd is readable, and the thread wakes. */
  ssize_t written = write(watcher->wake_fd, &one, sizeof one);
  (void)written;
}

static void *wait_for_events(void *data) {
  struct watcher *watcher = data;
  bool notified = false; /* the threadsafe function was called, and the loop has not turned since */
  for (;;) {
    /* poll(2) ignores an entry whose descriptor is negative. */
    struct pollfd entries[] = {{.fd = watcher->wake_fd, .events = POLLIN},
                               {.fd = notified ? -1 : watcher->epfd, .events = POLLIN}};
    if (poll(entries, 2, -1) < 0) continue;
    if (atomic_load(&watcher->stop)) break;
    if (entries[0].revents != 0) {
      uint64_t count;
      if (read(watcher->wake_fd, &count, sizeof count) == sizeof count) notified = false;
      continue;
    }
    napi_status status = napi_call_threadsafe_function(watcher->notify, NULL, napi_tsfn_nonblocking);
    /* The environment is ending, and the threadsafe function must not be used any more. */
    if (status == napi_closing) return NULL;
    notified = status == napi_ok;
  }
  napi_release_threadsafe_function(watcher->notify, napi_tsfn_abort);
  return NULL;
}

/* The threadsafe function, on the thread of the environment. */
static void on_notified(napi_env env, napi_value function, void *context, void *data) {
  (void)function;
  (void)data;
  struct watcher *watcher = context;
  if (env == NULL || watcher->poller == NULL) return;
  watcher->waits_for_turn = true;
  poller_readable(watcher->poller);
}

static bool thread_loop_turned(struct poller *poller) {
  struct watcher *watcher = poller->data;
  bool more = poller->relays.queue_length > 0 && poller_continue_relays(poller);
  if (watcher->waits_for_turn) {
    watcher->waits_for_turn = false;
    /* After epoll_wait(2) has failed permanently, the thread must not wait for events. */
    if (!poller->failed) wake_thread(watcher);
  }
  return more;
}

static void on_finalized(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  free(data);
}

static void thread_end_environment(void *data) {
  struct watcher *watcher = data;
  watcher->ending = true;
  poller_end(watcher->poller);
}

static void stop_watcher(struct watcher *watcher) {
  atomic_store(&watcher->stop, true);
  wake_thread(watcher);
  pthread_join(watcher->thread, NULL);
  close(watcher->wake_fd);
  watcher->poller = NULL;
}

static void thread_end(struct poller *poller) {
  struct watcher *watcher = poller->data;
  /* `ending` is set while the hook runs and ends the poller. Deno crashes if a running hook is removed. */
  if (!watcher->ending) napi_remove_env_cleanup_hook(poller->env, thread_end_environment, watcher);
  stop_watcher(watcher);
  poller_free(poller);
}

static int thread_start(struct poller *poller) {
  napi_env env = poller->env;
  napi_value name;
  struct watcher *watcher = calloc(1, sizeof *watcher);
  if (watcher == NULL) return -ENOMEM;
  watcher->poller = poller;
  watcher->epfd = poller->epfd;
  watcher->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (watcher->wake_fd < 0) {
    int error = errno;
    free(watcher);
    return -error;
  }
  if (napi_create_string_utf8(env, "berkeley", NAPI_AUTO_LENGTH, &name) != napi_ok ||
      napi_create_threadsafe_function(env, NULL, NULL, name, 0, 1, watcher, on_finalized, watcher, on_notified,
                                      &watcher->notify) != napi_ok) {
    close(watcher->wake_fd);
    free(watcher);
    return -ENOMEM;
  }
  /* The threadsafe function exists, so on_finalized() will free the watcher. */
  napi_unref_threadsafe_function(env, watcher->notify);
  int error = start_thread(&watcher->thread, NULL, wait_for_events, watcher);
  if (error == 0 && napi_add_env_cleanup_hook(env, thread_end_environment, watcher) != napi_ok) {
    stop_watcher(watcher);
    return -ENOMEM;
  }
  if (error != 0) {
    watcher->poller = NULL;
    close(watcher->wake_fd);
    napi_release_threadsafe_function(watcher->notify, napi_tsfn_abort);
    return error;
  }
  poller->data = watcher;
  poller->shared[REPORTS_TURNS] = 1;
  return 0;
}

static void thread_ref(struct poller *poller) {
  napi_ref_threadsafe_function(poller->env, ((struct watcher *)poller->data)->notify);
}

static void thread_unref(struct poller *poller) {
  napi_unref_threadsafe_function(poller->env, ((struct watcher *)poller->data)->notify);
}

const struct backend thread_backend = {
    .start = thread_start,
    .ref = thread_ref,
    .unref = thread_unref,
    .end = thread_end,
    .call_js = call_js_from_node_api,
    .loop_turned = thread_loop_turned};
