/*
 * Readiness: an epoll descriptor, and how JavaScript learns that it is readable.
 *
 * Descriptors are registered once, edge-triggered, for both directions. When the epoll descriptor becomes readable, the
 * events are put into an Int32Array that JavaScript shares, and JavaScript is called once for all of them. A backend waits for
 * the descriptor: poller_uv.c, or poller_thread.c where there is no libuv.
 *
 * Layout of the shared array, in 32-bit words:
 *   [0]  number of calls that wait, written by JavaScript
 *   [1]  1 while the poller keeps the process alive
 *   [2]  number of events in this batch; -errno when epoll_wait(2) has failed, after which there are no more
 *   [3]  0 in the first batch of a turn of the loop, 1 in those that follow it at once
 *   [4]  the number of the poller, by which the calls below name it
 *   [5]  1 when JavaScript has to call pollerTurned() in the turn after each call that it gets, and after no call waits any more
 *   [6…] slot, generation, events; slot, generation, events; … room for MAX_EVENTS
 *   then the table of relay.c
 *
 * An environment has as many pollers as there are evaluations of the package's JavaScript: a test runner that resets its
 * modules loads the JavaScript again, but the addon once. Each evaluation has a reactor, and each reactor opens a poller.
 *
 * While a call waits, the poller keeps the process alive and holds its array and its callback. While none does, both
 * references are weak. So an evaluation that nobody refers to any more is collected, and the finalizer of the array ends its
 * poller. JavaScript takes the strong references when the count of waiting calls leaves 0; they are dropped lazily, with libuv
 * right before the loop would block: a server whose count goes to 0 and back within a turn pays for neither.
 */
#include "poller.h"

#include <stdlib.h>
#include <unistd.h>

/* Events after which the rest of the loop gets its turn. */
#define EVENTS_PER_LOOP 256
/* Bytes that are relayed before the rest of the loop has its turn. */
#define RELAYED_PER_LOOP (4u << 20)

static bool dispatch(struct poller *poller) {
  napi_env env = poller->env;
  napi_handle_scope scope;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return false;
  bool called = poller->backend->call(env, poller->callback, 0, NULL);
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
 * so the number of events is bounded. A spurious wake-up or EINTR needs no care: backends wait level-triggered.
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

static bool go_on(struct poller *poller, bool told) {
  uint64_t token;
  poller->shared[COUNT] = 0;
  while (poller->shared[COUNT] < MAX_EVENTS && relay_next(&poller->relays, &token)) tell(poller, token, EPOLLIN);
  if (poller->shared[COUNT] > 0) {
    poller->shared[FOLLOWS] = told;
    dispatch(poller);
  }
  return poller->relays.queued > 0;
}

static bool turn(struct poller *poller, bool readable) {
  poller->relays.budget = RELAYED_PER_LOOP;
  bool told = readable && fetch_all(poller);
  bool more = poller->relays.queued > 0 && go_on(poller, told);
  if (poller->backend->turned != NULL && readable && !told) {
    poller->shared[COUNT] = 0;
    dispatch(poller);
  }
  return more;
}

/*
 * No call waits, so the references are weak. The array may have been collected already, with the memory that events would be
 * written to; else it is held by a handle for this turn.
 */
static bool guarded_turn(struct poller *poller, bool readable) {
  napi_handle_scope scope;
  napi_value array = NULL;
  bool more = false;
  if (napi_open_handle_scope(poller->env, &scope) != napi_ok) return false;
  if (napi_get_reference_value(poller->env, poller->array, &array) == napi_ok && array != NULL) {
    more = turn(poller, readable);
  }
  napi_close_handle_scope(poller->env, scope);
  return more;
}

bool poller_readable(struct poller *poller) {
  return poller->referenced ? turn(poller, true) : guarded_turn(poller, true);
}

bool poller_go_on(struct poller *poller) {
  return poller->referenced ? turn(poller, false) : guarded_turn(poller, false);
}

void poller_rest(struct poller *poller) {
  poller->shared[REFERENCED] = 0;
  poller->referenced = false;
  poller->backend->unref(poller);
  napi_reference_unref(poller->env, poller->array, NULL);
  napi_reference_unref(poller->env, poller->callback, NULL);
}

void poller_free(struct poller *poller) {
  close(poller->epfd);
  free(poller);
}

void poller_end(struct poller *poller) {
  poller->addon->pollers[poller->number] = NULL;
  if (poller->link != NULL) *poller->link = NULL;
  napi_delete_reference(poller->env, poller->array);
  napi_delete_reference(poller->env, poller->callback);
  poller->backend->end(poller);
}

/* The array was collected, and with it the reactor; or the environment has ended, and the poller before it. */
static void on_collected(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  struct poller **link = data;
  if (*link != NULL) poller_end(*link);
  free(link);
}

/* A free place in the list, or -ENOMEM. */
static int64_t free_number(struct addon *addon) {
  for (size_t i = 0; i < addon->poller_count; i++) {
    if (addon->pollers[i] == NULL) return (int64_t)i;
  }
  size_t length = addon->poller_count + 1;
  struct poller **pollers = realloc(addon->pollers, length * sizeof(struct poller *));
  if (pollers == NULL) return -ENOMEM;
  pollers[addon->poller_count] = NULL;
  addon->pollers = pollers;
  addon->poller_count = length;
  return (int64_t)length - 1;
}

static int open_epoll(struct poller *poller) {
  poller->epfd = epoll_create1(EPOLL_CLOEXEC);
  if (poller->epfd < 0) return -errno;
  int error = poller->backend->start(poller);
  if (error < 0) close(poller->epfd);
  return error;
}

/* Frees what open_poller() has made so far, in the order of its making. */
static napi_value abandon(struct poller *poller, napi_value result) {
  if (poller->array != NULL) napi_delete_reference(poller->env, poller->array);
  if (poller->callback != NULL) napi_delete_reference(poller->env, poller->callback);
  free(poller->link);
  free(poller);
  return result;
}

/* openPoller(callback, thread = 0) -> Int32Array | -errno */
static napi_value open_poller(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t thread = 0;
  struct addon *addon = addon_of(env);
  if (addon == NULL || !read_args(env, info, 1, &args) || (args.count > 1 && !arg_i32(&args, 1, &thread))) return NULL;
  if (addon->ended) return number(env, -ECANCELED);
  napi_valuetype type;
  if (napi_typeof(env, args.values[0], &type) != napi_ok || type != napi_function) {
    napi_throw_type_error(env, NULL, "openPoller takes a function");
    return NULL;
  }
  int64_t place = free_number(addon);
  if (place < 0) return number(env, place);
  napi_value buffer, array;
  void *memory;
  if (napi_create_arraybuffer(env, WORDS * sizeof(int32_t), &memory, &buffer) != napi_ok ||
      napi_create_typedarray(env, napi_int32_array, WORDS, buffer, 0, &array) != napi_ok) {
    return NULL;
  }
  struct poller *poller = calloc(1, sizeof *poller);
  if (poller == NULL) return number(env, -ENOMEM);
  poller->env = env;
  poller->addon = addon;
  poller->backend = thread ? &thread_backend : &uv_backend;
  poller->number = (size_t)place;
  poller->shared = memory;
  poller->shared[NUMBER] = (int32_t)place;
  poller->relays.addon = addon;
  poller->relays.table = poller->shared + RELAY_TABLE;
  poller->link = calloc(1, sizeof(struct poller *));
  if (poller->link == NULL) return abandon(poller, number(env, -ENOMEM));
  if (napi_create_reference(env, array, 0, &poller->array) != napi_ok ||
      napi_create_reference(env, args.values[0], 0, &poller->callback) != napi_ok) {
    return abandon(poller, NULL);
  }
  int error = open_epoll(poller);
  if (error < 0) return abandon(poller, number(env, error));
  addon->pollers[poller->number] = poller;
  if (napi_add_finalizer(env, array, poller->link, on_collected, NULL, NULL) != napi_ok) {
    free(poller->link);
    poller->link = NULL;
    poller_end(poller);
    return NULL;
  }
  *poller->link = poller;
  return array;
}

/* The poller whose number is at `index`. NULL with *result for the caller to return: -ECANCELED, or an exception. */
static struct poller *arg_poller(struct addon *addon, const struct args *args, size_t index, napi_value *result) {
  uint32_t number_of;
  *result = NULL;
  if (!arg_u32(args, index, &number_of)) return NULL;
  struct poller *poller = number_of < addon->poller_count ? addon->pollers[number_of] : NULL;
  if (poller == NULL) *result = number(args->env, -ECANCELED);
  return poller;
}

static napi_value watch(napi_env env, napi_callback_info info, int operation) {
  struct args args;
  int32_t fd, reading_only;
  uint32_t slot, generation;
  napi_value result;
  struct addon *addon = addon_of(env);
  if (addon == NULL || !read_args(env, info, 5, &args) || !arg_i32(&args, 0, &fd) || !arg_u32(&args, 1, &slot) ||
      !arg_u32(&args, 2, &generation) || !arg_i32(&args, 3, &reading_only)) {
    return NULL;
  }
  struct poller *poller = arg_poller(addon, &args, 4, &result);
  if (poller == NULL) return result;
  struct epoll_event event = {
      .events = EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLET | (reading_only ? 0 : EPOLLOUT),
      .data.u64 = (uint64_t)generation << 32 | slot,
  };
  return number(env, outcome(epoll_ctl(poller->epfd, operation, fd, &event)));
}

/* pollerAdd(fd, slot, generation, reading only, poller) */
static napi_value poller_add(napi_env env, napi_callback_info info) { return watch(env, info, EPOLL_CTL_ADD); }

/* pollerModify(fd, slot, generation, reading only, poller) */
static napi_value poller_modify(napi_env env, napi_callback_info info) { return watch(env, info, EPOLL_CTL_MOD); }

/* pollerRemove(fd, poller, file = any): an entry of epoll is found by the number, which may be another socket's by now; shared.c */
static napi_value poller_remove(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t fd;
  int64_t file = 0;
  napi_value result;
  struct addon *addon = addon_of(env);
  if (addon == NULL || !read_args(env, info, 2, &args) || !arg_i32(&args, 0, &fd) ||
      (args.count > 2 && !arg_offset(&args, 2, &file))) {
    return NULL;
  }
  struct poller *poller = arg_poller(addon, &args, 1, &result);
  if (poller == NULL) return result;
  if (file > 0 && !is_file(fd, file)) return number(env, -EBADF);
  struct epoll_event unused = {0};
  return number(env, outcome(epoll_ctl(poller->epfd, EPOLL_CTL_DEL, fd, &unused)));
}

static bool reachable(napi_env env, napi_ref reference) {
  napi_value value = NULL;
  return napi_get_reference_value(env, reference, &value) == napi_ok && value != NULL;
}

/* pollerRef(poller): it keeps the process alive from now on. */
static napi_value poller_ref(napi_env env, napi_callback_info info) {
  struct args args;
  napi_value result;
  struct addon *addon = addon_of(env);
  if (addon == NULL || !read_args(env, info, 1, &args)) return NULL;
  struct poller *poller = arg_poller(addon, &args, 0, &result);
  if (poller == NULL) return result;
  if (poller->referenced) return number(env, 0);
  /* Collected already, and about to be ended: the memory is gone. */
  if (!reachable(env, poller->array) || !reachable(env, poller->callback)) return number(env, -ECANCELED);
  if (napi_reference_ref(env, poller->array, NULL) != napi_ok) return number(env, -ECANCELED);
  if (napi_reference_ref(env, poller->callback, NULL) != napi_ok) {
    napi_reference_unref(env, poller->array, NULL);
    return number(env, -ECANCELED);
  }
  poller->referenced = true;
  poller->shared[REFERENCED] = 1;
  poller->backend->ref(poller);
  return number(env, 0);
}

/* pollerTurned(poller) -> 1 when it is to be called in the next turn too. */
static napi_value poller_turned(napi_env env, napi_callback_info info) {
  struct args args;
  napi_value result;
  struct addon *addon = addon_of(env);
  if (addon == NULL || !read_args(env, info, 1, &args)) return NULL;
  struct poller *poller = arg_poller(addon, &args, 0, &result);
  if (poller == NULL) return result;
  if (poller_idles(poller)) poller_rest(poller);
  return number(env, poller->backend->turned != NULL && poller->backend->turned(poller));
}

bool init_poller(napi_env env, napi_value exports) {
  static const struct entry entries[] = {
      {"openPoller", open_poller},
      {"pollerAdd", poller_add},
      {"pollerModify", poller_modify},
      {"pollerRemove", poller_remove},
      {"pollerRef", poller_ref},
      {"pollerTurned", poller_turned},
  };
  return EXPORT_ALL(env, exports, entries);
}
