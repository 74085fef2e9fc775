/*
 * Readiness: one epoll descriptor per environment, watched by one uv_poll_t on the environment's own loop.
 *
 * Descriptors are registered once, edge-triggered, for both directions. When the epoll descriptor becomes readable, the
 * events are put into an Int32Array that JavaScript shares, and JavaScript is called once for all of them.
 *
 * Layout of the shared array, in 32-bit words:
 *   [0]  number of calls that wait, written by JavaScript
 *   [1]  1 while the poll handle keeps the loop alive
 *   [2]  number of events in this batch; -errno when epoll_wait(2) has failed, after which there are no more
 *   [3]  0 in the first batch of a turn of the loop, 1 in those that follow it at once
 *   [4…] slot, generation, events; slot, generation, events; … room for MAX_EVENTS
 *   then the table of relay.c
 *
 * The handle keeps the loop alive only while a call waits. JavaScript takes the reference when the count leaves 0 and the
 * handle has none; the reference is dropped lazily, in a uv_prepare_t, right before the loop would block: a server whose
 * count goes to 0 and back within a turn pays for neither.
 */
#include "addon.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <uv.h>

#define MAX_EVENTS 1024
/* Events after which the rest of the loop gets its turn. */
#define EVENTS_PER_LOOP 256
#define HEADER 4
#define RELAY_TABLE (HEADER + 3 * MAX_EVENTS)
#define WORDS (RELAY_TABLE + RELAY_TABLE_WORDS)
/* Bytes that are relayed before the rest of the loop has its turn. */
#define RELAYED_PER_LOOP (4u << 20)
enum { WAITING = 0, REFERENCED = 1, COUNT = 2, FOLLOWS = 3 };

struct poller {
  struct addon *addon;
  int epfd;
  int open_handles;
  uv_poll_t poll;
  uv_prepare_t prepare;
  /* Active while relays are queued: the loop does not block, and they go on in its next turn. */
  uv_idle_t idle;
  struct relays relays;
  /* epoll_wait(2) has failed for good, and JavaScript has heard of it. */
  bool failed;
  int32_t *shared;
  napi_ref array;
  napi_ref callback;
  void (*done)(void *);
  void *done_data;
  struct epoll_event events[MAX_EVENTS];
};

static bool dispatch(struct poller *poller) {
  napi_env env = poller->addon->env;
  napi_handle_scope scope;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return false;
  bool called = call_back(env, poller->callback, 0, NULL);
  napi_close_handle_scope(env, scope);
  return called;
}

static void tell(struct poller *poller, uint64_t token, uint32_t events) {
  int32_t *out = poller->shared + HEADER + 3 * poller->shared[COUNT]++;
  out[0] = (int32_t)(uint32_t)token;
  out[1] = (int32_t)(uint32_t)(token >> 32);
  out[2] = (int32_t)events;
}

/* Moves what is ready now into the shared array, but for what is relayed at once; returns how much was ready. */
static int fetch(struct poller *poller) {
  int count = epoll_wait(poller->epfd, poller->events, MAX_EVENTS, 0);
  poller->shared[COUNT] = 0;
  for (int i = 0; i < count; i++) {
    uint64_t token = poller->events[i].data.u64;
    uint32_t events = poller->events[i].events;
    if (!relay(&poller->relays, token, &events)) tell(poller, token, events);
  }
  return count;
}

/*
 * epoll_wait(2) has failed otherwise than by a signal, and will fail again. The descriptor may stay readable for the loop, which
 * would then turn without a pause; so it is not watched any more.
 */
static bool fail(struct poller *poller, int error) {
  poller->failed = true;
  poller->shared[COUNT] = -error;
  dispatch(poller);
  return true;
}

/*
 * While JavaScript dealt with one batch, the next has often come in. To fetch it right here costs one epoll_wait, as in a
 * server written in C; to go round the loop costs two and the rest of the loop. Timers and other handles wait meanwhile,
 * so the number of events is bounded. A spurious wake-up or EINTR needs no care: the handle is level-triggered.
 *
 * Returns whether JavaScript was called; a worker that is being terminated runs none any more.
 */
static bool fetch_all(struct poller *poller) {
  bool told = false;
  for (int handled = 0; handled < EVENTS_PER_LOOP;) {
    int count = fetch(poller);
    if (count < 0 && errno != EINTR) return fail(poller, errno);
    if (count <= 0) break;
    handled += count;
    if (poller->shared[COUNT] == 0) continue;
    poller->shared[FOLLOWS] = told;
    told = true;
    if (!dispatch(poller)) break;
  }
  return told;
}

static void on_idle(uv_idle_t *handle);

static void go_on(struct poller *poller, bool told) {
  uint64_t token;
  poller->shared[COUNT] = 0;
  while (poller->shared[COUNT] < MAX_EVENTS && relay_next(&poller->relays, &token)) tell(poller, token, EPOLLIN);
  if (poller->relays.queued > 0) uv_idle_start(&poller->idle, on_idle);
  else uv_idle_stop(&poller->idle);
  if (poller->shared[COUNT] == 0) return;
  poller->shared[FOLLOWS] = told;
  dispatch(poller);
}

static void on_readable(uv_poll_t *handle, int status, int events) {
  (void)events;
  struct poller *poller = handle->data;
  poller->relays.budget = RELAYED_PER_LOOP;
  /* With an error libuv has stopped the handle. */
  bool told = status < 0 ? fail(poller, -status) : fetch_all(poller);
  if (poller->failed) uv_poll_stop(handle);
  if (poller->relays.queued > 0) go_on(poller, told);
}

static void on_idle(uv_idle_t *handle) {
  struct poller *poller = handle->data;
  poller->relays.budget = RELAYED_PER_LOOP;
  go_on(poller, false);
}

static void before_blocking(uv_prepare_t *handle) {
  struct poller *poller = handle->data;
  if (poller->shared[WAITING] == 0 && poller->shared[REFERENCED]) {
    poller->shared[REFERENCED] = 0;
    uv_unref((uv_handle_t *)&poller->poll);
  }
}

static void on_closed(uv_handle_t *handle) {
  struct poller *poller = handle->data;
  if (--poller->open_handles > 0) return;
  void (*done)(void *) = poller->done;
  void *data = poller->done_data;
  /* Only now: libuv must have let go of a watched descriptor before it is closed. */
  close(poller->epfd);
  free(poller);
  if (done != NULL) done(data);
}

void poller_end(struct poller *poller, void (*done)(void *), void *data) {
  poller->done = done;
  poller->done_data = data;
  poller->addon->poller = NULL;
  uv_poll_stop(&poller->poll);
  uv_close((uv_handle_t *)&poller->poll, on_closed);
  uv_close((uv_handle_t *)&poller->prepare, on_closed);
  uv_close((uv_handle_t *)&poller->idle, on_closed);
}

static int start(struct poller *poller, uv_loop_t *loop) {
  poller->poll.data = poller;
  poller->prepare.data = poller;
  poller->idle.data = poller;
  int error = uv_poll_init(loop, &poller->poll, poller->epfd);
  if (error != 0) {
    close(poller->epfd);
    free(poller);
    return error;
  }
  /* These cannot fail, nor can the starts below for a fresh handle and a valid descriptor. */
  uv_prepare_init(loop, &poller->prepare);
  uv_idle_init(loop, &poller->idle);
  poller->open_handles = 3;
  error = uv_poll_start(&poller->poll, UV_READABLE, on_readable);
  if (error == 0) error = uv_prepare_start(&poller->prepare, before_blocking);
  uv_unref((uv_handle_t *)&poller->poll);
  uv_unref((uv_handle_t *)&poller->prepare);
  uv_unref((uv_handle_t *)&poller->idle);
  if (error != 0) poller_end(poller, NULL, NULL);
  return error;
}

/* openPoller(callback) -> Int32Array | -errno */
static napi_value open_poller(napi_env env, napi_callback_info info) {
  struct args args;
  struct addon *addon = addon_of(env);
  if (addon == NULL || !read_args(env, info, 1, &args)) return NULL;
  if (addon->poller != NULL) return number(env, -EEXIST);
  if (addon->ended) return number(env, -ECANCELED);
  napi_valuetype type;
  if (napi_typeof(env, args.values[0], &type) != napi_ok || type != napi_function) {
    napi_throw_type_error(env, NULL, "openPoller takes a function");
    return NULL;
  }
  uv_loop_t *loop;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) return number(env, -ENOTSUP);

  napi_value buffer, array;
  void *memory;
  if (napi_create_arraybuffer(env, WORDS * sizeof(int32_t), &memory, &buffer) != napi_ok ||
      napi_create_typedarray(env, napi_int32_array, WORDS, buffer, 0, &array) != napi_ok) {
    return NULL;
  }
  struct poller *poller = calloc(1, sizeof *poller);
  if (poller == NULL) return number(env, -ENOMEM);
  poller->addon = addon;
  poller->shared = memory;
  poller->relays.addon = addon;
  poller->relays.table = poller->shared + RELAY_TABLE;
  poller->epfd = epoll_create1(EPOLL_CLOEXEC);
  if (poller->epfd < 0) {
    int error = errno;
    free(poller);
    return number(env, -error);
  }
  if (napi_create_reference(env, array, 1, &poller->array) != napi_ok ||
      napi_create_reference(env, args.values[0], 1, &poller->callback) != napi_ok) {
    if (poller->array != NULL) napi_delete_reference(env, poller->array);
    close(poller->epfd);
    free(poller);
    return NULL;
  }
  napi_ref held[2] = {poller->array, poller->callback};
  addon->poller = poller;
  int error = start(poller, loop);
  if (error != 0) {
    addon->poller = NULL;
    napi_delete_reference(env, held[0]);
    napi_delete_reference(env, held[1]);
    return number(env, error);
  }
  return array;
}

static napi_value watch(napi_env env, napi_callback_info info, int operation) {
  struct args args;
  int32_t fd, reading_only = 0;
  uint32_t slot, generation;
  struct addon *addon = addon_of(env);
  if (addon == NULL || !read_args(env, info, 3, &args) || !arg_i32(&args, 0, &fd) || !arg_u32(&args, 1, &slot) ||
      !arg_u32(&args, 2, &generation) || (args.count > 3 && !arg_i32(&args, 3, &reading_only))) {
    return NULL;
  }
  if (addon->poller == NULL) return number(env, -ECANCELED);
  struct epoll_event event = {
      .events = EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLET | (reading_only ? 0 : EPOLLOUT),
      .data.u64 = (uint64_t)generation << 32 | slot,
  };
  return number(env, outcome(epoll_ctl(addon->poller->epfd, operation, fd, &event)));
}

/* pollerAdd(fd, slot, generation, reading only = 0) */
static napi_value poller_add(napi_env env, napi_callback_info info) { return watch(env, info, EPOLL_CTL_ADD); }

/* pollerModify(fd, slot, generation, reading only = 0) */
static napi_value poller_modify(napi_env env, napi_callback_info info) { return watch(env, info, EPOLL_CTL_MOD); }

/* pollerRemove(fd) */
static napi_value poller_remove(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t fd;
  struct addon *addon = addon_of(env);
  if (addon == NULL || !read_args(env, info, 1, &args) || !arg_i32(&args, 0, &fd)) return NULL;
  if (addon->poller == NULL) return number(env, -ECANCELED);
  struct epoll_event unused = {0};
  return number(env, outcome(epoll_ctl(addon->poller->epfd, EPOLL_CTL_DEL, fd, &unused)));
}

/* pollerRef(): the handle keeps the loop alive from now on. */
static napi_value poller_ref(napi_env env, napi_callback_info info) {
  (void)info;
  struct addon *addon = addon_of(env);
  if (addon == NULL) return NULL;
  if (addon->poller == NULL) return number(env, -ECANCELED);
  addon->poller->shared[REFERENCED] = 1;
  uv_ref((uv_handle_t *)&addon->poller->poll);
  return number(env, 0);
}

bool init_poller(napi_env env, napi_value exports) {
  static const struct entry entries[] = {
      {"openPoller", open_poller},
      {"pollerAdd", poller_add},
      {"pollerModify", poller_modify},
      {"pollerRemove", poller_remove},
      {"pollerRef", poller_ref},
  };
  return EXPORT_ALL(env, exports, entries);
}
