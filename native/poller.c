/*
 * The poller: an epoll descriptor, and the delivery of its events to JavaScript.
 *
 * Each descriptor is registered once, edge-triggered. When the epoll descriptor becomes readable, the poller stores the
 * events in an Int32Array that it shares with JavaScript. Then it calls JavaScript once for all of them. A backend
 * waits for the epoll descriptor: poller_uv.c, or poller_thread.c in a runtime without libuv.
 *
 * Layout of the shared array, in 32-bit words:
 *   [0]  number of waiting calls that keep the process alive, written by JavaScript
 *   [1]  1 while the poller keeps the process alive
 *   [2]  number of events in this batch, 0 outside a batch, or -errno after epoll_wait(2) has failed permanently
 *   [3]  0 in the first batch of a turn of the loop, 1 in each further batch of that turn
 *   [4]  number of the poller, an argument of the calls below
 *   [5]  1 if the backend needs pollerTurned(): JavaScript must call it in the turn after each callback, and in the
 *        turn after the last waiting call has ended
 *   [6…] slot, generation, events; slot, generation, events; … for MAX_EVENTS events
 *   then the table of relay.c
 *
 * An environment has one poller for each evaluation of the package's JavaScript. A test runner that resets its modules
 * evaluates the JavaScript again, but loads the addon once. Each evaluation has a reactor, and each reactor opens a
 * poller.
 *
 * While such a call waits, the poller keeps the process alive and holds strong references to its array and callback.
 * Otherwise both references are weak. Then the garbage collector can free an unreachable evaluation, and the finalizer
 * of the array ends its poller. JavaScript calls pollerRef() when the number of waiting calls rises above 0, and
 * pollerRef() makes the references strong. The backend makes them weak again later: with libuv right before the loop
 * would block. So a server whose number of waiting calls goes to 0 and back within a turn changes no reference.
 */
#include "poller.h"

#include <stdlib.h>
#include <unistd.h>

/* After this number of events no further batch is fetched, so that other handles of the loop run. */
#define MAX_EVENTS_PER_TURN 256
/* Limit of relayed bytes before other handles of the loop run. */
#define MAX_RELAYED_BYTES_PER_TURN (4u << 20)

/* Calls JavaScript, which handles the events in the shared array. Returns false if the call has failed. */
static bool dispatch(struct poller *poller) {
  napi_env env = poller->env;
  napi_handle_scope scope;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return false;
  bool called = poller->backend->call_js(env, poller->callback, 0, NULL);
  napi_close_handle_scope(env, scope);
  return called;
}

static void append_event(struct poller *poller, uint64_t token, uint32_t events) {
  int32_t *words = poller->shared + HEADER_WORDS + EVENT_WORDS * poller->shared[EVENT_COUNT]++;
  words[0] = (int32_t)(uint32_t)token;         /* slot */
  words[1] = (int32_t)(uint32_t)(token >> 32); /* generation */
  words[2] = (int32_t)events;
}

/*
 * Stores the events that are ready in the shared array, except those that a relay handles completely. Returns the
 * number of events that were ready, or -1.
 */
static int fetch_events(struct poller *poller) {
  int count = epoll_wait(poller->epfd, poller->events, MAX_EVENTS, 0);
  poller->shared[EVENT_COUNT] = 0;
  for (int i = 0; i < count; i++) {
    uint64_t token = poller->events[i].data.u64;
    uint32_t events = poller->events[i].events;
    if (!handle_with_relay(&poller->relays, token, &events)) append_event(poller, token, events);
  }
  return count;
}

/*
 * Reports an error of epoll_wait(2) to JavaScript. The next call would fail with the same error. So this function sets
 * `failed`, and the backend then stops watching the epoll descriptor. Otherwise the loop would spin while the
 * descriptor is readable. Returns true, because JavaScript was called.
 */
static bool stop_after_error(struct poller *poller, int error) {
  poller->failed = true;
  poller->shared[EVENT_COUNT] = -error;
  dispatch(poller);
  return true;
}

/*
 * Fetches and dispatches batches of events until no event is ready. Returns whether JavaScript was called.
 *
 * While JavaScript handles one batch, further events often become ready. Fetching them here costs one call of
 * epoll_wait(2). Fetching them in the next turn of the loop would cost two calls and the other work of the loop. Timers
 * and other handles wait in the meantime, so the number of events is limited.
 *
 * A spurious wake-up or EINTR needs no retry: the backend watches the epoll descriptor level-triggered, and calls the
 * poller again while events are ready. dispatch() fails in a worker that is being terminated.
 */
static bool dispatch_events(struct poller *poller) {
  bool dispatched = false;
  for (int handled = 0; handled < MAX_EVENTS_PER_TURN;) {
    int count = fetch_events(poller);
    if (count < 0 && errno != EINTR) return stop_after_error(poller, errno);
    if (count <= 0) break;
    handled += count;
    if (poller->shared[EVENT_COUNT] == 0) continue;
    poller->shared[SAME_TURN] = dispatched;
    dispatched = true;
    if (!dispatch(poller)) break;
  }
  return dispatched;
}

/*
 * Continues queued relays, and passes stopped ones to JavaScript. `dispatched` is true if JavaScript was called earlier
 * in this turn. Returns whether relays are still queued.
 */
static bool continue_relays(struct poller *poller, bool dispatched) {
  uint64_t token;
  poller->shared[EVENT_COUNT] = 0;
  while (poller->shared[EVENT_COUNT] < MAX_EVENTS && run_queued_relays(&poller->relays, &token)) {
    append_event(poller, token, EPOLLIN);
  }
  if (poller->shared[EVENT_COUNT] > 0) {
    poller->shared[SAME_TURN] = dispatched;
    dispatch(poller);
  }
  return poller->relays.queue_length > 0;
}

/*
 * The work of one turn of the loop. `readable` is false if the backend only continues queued relays. Returns whether
 * relays are still queued.
 */
static bool run_turn(struct poller *poller, bool readable) {
  poller->relays.budget = MAX_RELAYED_BYTES_PER_TURN;
  bool dispatched = readable && dispatch_events(poller);
  bool more = poller->relays.queue_length > 0 && continue_relays(poller, dispatched);
  /*
   * The thread of such a backend waits for no event until JavaScript has called pollerTurned(), which it does after a
   * callback. So the poller calls JavaScript even without an event.
   */
  if (poller->backend->loop_turned != NULL && readable && !dispatched) {
    poller->shared[EVENT_COUNT] = 0;
    dispatch(poller);
  }
  if (!poller->failed) poller->shared[EVENT_COUNT] = 0;
  return more;
}

/*
 * run_turn() while the references are weak. If the array was collected, its memory is freed, so this function does
 * nothing. Otherwise the handle `array` keeps the array alive for this turn.
 */
static bool run_weak_turn(struct poller *poller, bool readable) {
  napi_handle_scope scope;
  napi_value array = NULL;
  bool more = false;
  if (napi_open_handle_scope(poller->env, &scope) != napi_ok) return false;
  if (napi_get_reference_value(poller->env, poller->array, &array) == napi_ok && array != NULL) {
    more = run_turn(poller, readable);
  }
  napi_close_handle_scope(poller->env, scope);
  return more;
}

bool poller_readable(struct poller *poller) {
  return poller->referenced ? run_turn(poller, true) : run_weak_turn(poller, true);
}

bool poller_continue_relays(struct poller *poller) {
  return poller->referenced ? run_turn(poller, false) : run_weak_turn(poller, false);
}

void poller_unreference(struct poller *poller) {
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
  if (poller->weak_pointer != NULL) *poller->weak_pointer = NULL;
  napi_delete_reference(poller->env, poller->array);
  napi_delete_reference(poller->env, poller->callback);
  poller->backend->end(poller);
}

/*
 * The finalizer of the array. The array was collected, or the environment has ended. In the second case the poller has
 * ended already, and *weak_pointer is NULL.
 */
static void on_collected(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  struct poller **weak_pointer = data;
  if (*weak_pointer != NULL) poller_end(*weak_pointer);
  free(weak_pointer);
}

/* Returns an unused poller number, or -ENOMEM. */
static int64_t allocate_number(struct addon *addon) {
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

/* Frees a poller that is not open yet. Returns `result`, so that a caller can return it in the same statement. */
static napi_value free_unopened(struct poller *poller, napi_value result) {
  if (poller->array != NULL) napi_delete_reference(poller->env, poller->array);
  if (poller->callback != NULL) napi_delete_reference(poller->env, poller->callback);
  free(poller->weak_pointer);
  free(poller);
  return result;
}

/* openPoller(callback, use thread = 0) -> the shared array | -errno. With 1, the backend is that of poller_thread.c. */
static napi_value call_open_poller(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t thread = 0;
  struct addon *addon = get_addon(env);
  if (addon == NULL || !read_args(env, info, 1, &args) || (args.count > 1 && !arg_i32(&args, 1, &thread))) return NULL;
  if (addon->ended) return js_number(env, -ECANCELED);
  napi_valuetype type;
  if (napi_typeof(env, args.values[0], &type) != napi_ok || type != napi_function) {
    napi_throw_type_error(env, NULL, "Cannot call openPoller: callback is not a function, required a function");
    return NULL;
  }
  int64_t number = allocate_number(addon);
  if (number < 0) return js_number(env, number);
  napi_value buffer, array;
  void *memory;
  if (napi_create_arraybuffer(env, SHARED_WORDS * sizeof(int32_t), &memory, &buffer) != napi_ok ||
      napi_create_typedarray(env, napi_int32_array, SHARED_WORDS, buffer, 0, &array) != napi_ok) {
    return NULL;
  }
  struct poller *poller = calloc(1, sizeof *poller);
  if (poller == NULL) return js_number(env, -ENOMEM);
  poller->env = env;
  poller->addon = addon;
  poller->backend = thread ? &thread_backend : &uv_backend;
  poller->number = (size_t)number;
  poller->shared = memory;
  poller->shared[POLLER_NUMBER] = (int32_t)number;
  poller->relays.addon = addon;
  poller->relays.table = poller->shared + RELAY_TABLE_START;
  poller->weak_pointer = calloc(1, sizeof(struct poller *));
  if (poller->weak_pointer == NULL) return free_unopened(poller, js_number(env, -ENOMEM));
  if (napi_create_reference(env, array, 0, &poller->array) != napi_ok ||
      napi_create_reference(env, args.values[0], 0, &poller->callback) != napi_ok) {
    return free_unopened(poller, NULL);
  }
  int error = open_epoll(poller);
  if (error < 0) return free_unopened(poller, js_number(env, error));
  addon->pollers[poller->number] = poller;
  if (napi_add_finalizer(env, array, poller->weak_pointer, on_collected, NULL, NULL) != napi_ok) {
    free(poller->weak_pointer);
    poller->weak_pointer = NULL;
    poller_end(poller);
    return NULL;
  }
  *poller->weak_pointer = poller;
  return array;
}

/*
 * Returns the poller whose number is argument `index`. If there is none, returns NULL and stores in *result the value
 * that the caller must return: -ECANCELED, or NULL with an exception pending.
 */
static struct poller *arg_poller(struct addon *addon, const struct args *args, size_t index, napi_value *result) {
  uint32_t number;
  *result = NULL;
  if (!arg_u32(args, index, &number)) return NULL;
  struct poller *poller = number < addon->poller_count ? addon->pollers[number] : NULL;
  if (poller == NULL) *result = js_number(args->env, -ECANCELED);
  return poller;
}

/* arg_poller() for calls whose only argument is the number of a poller. */
static struct poller *read_poller(napi_env env, napi_callback_info info, napi_value *result) {
  struct args args;
  struct addon *addon = get_addon(env);
  *result = NULL;
  return addon != NULL && read_args(env, info, 1, &args) ? arg_poller(addon, &args, 0, result) : NULL;
}

/* pollerAdd() and pollerModify(): `operation` is that of epoll_ctl(2). */
static napi_value register_fd(napi_env env, napi_callback_info info, int operation) {
  struct args args;
  int32_t fd, without_epollout;
  uint32_t slot, generation;
  napi_value result;
  struct addon *addon = get_addon(env);
  if (addon == NULL || !read_args(env, info, 5, &args) || !arg_i32(&args, 0, &fd) || !arg_u32(&args, 1, &slot) ||
      !arg_u32(&args, 2, &generation) || !arg_i32(&args, 3, &without_epollout)) {
    return NULL;
  }
  struct poller *poller = arg_poller(addon, &args, 4, &result);
  if (poller == NULL) return result;
  struct epoll_event event = {
      .events = EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLET | (without_epollout ? 0 : EPOLLOUT),
      .data.u64 = (uint64_t)generation << 32 | slot,
  };
  return js_number(env, result_or_errno(epoll_ctl(poller->epfd, operation, fd, &event)));
}

/* pollerAdd(fd, slot, generation, without EPOLLOUT, poller) */
static napi_value call_poller_add(napi_env env, napi_callback_info info) {
  return register_fd(env, info, EPOLL_CTL_ADD);
}

/* pollerModify(fd, slot, generation, without EPOLLOUT, poller) */
static napi_value call_poller_modify(napi_env env, napi_callback_info info) {
  return register_fd(env, info, EPOLL_CTL_MOD);
}

/*
 * pollerRemove(fd, poller, identity = any): removes the entry of a descriptor. epoll finds the entry by the descriptor
 * number, which may belong to another file now. So the caller can pass `identity`, the result of share()
 * (descriptors.c). If the number belongs to another file, the call returns -EBADF.
 */
static napi_value call_poller_remove(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t fd;
  int64_t identity = 0;
  napi_value result;
  struct addon *addon = get_addon(env);
  if (addon == NULL || !read_args(env, info, 2, &args) || !arg_i32(&args, 0, &fd) ||
      (args.count > 2 && !arg_offset(&args, 2, &identity))) {
    return NULL;
  }
  struct poller *poller = arg_poller(addon, &args, 1, &result);
  if (poller == NULL) return result;
  if (identity > 0 && !has_identity(fd, identity)) return js_number(env, -EBADF);
  struct epoll_event unused = {0};
  return js_number(env, result_or_errno(epoll_ctl(poller->epfd, EPOLL_CTL_DEL, fd, &unused)));
}

static bool is_reachable(napi_env env, napi_ref reference) {
  napi_value value = NULL;
  return napi_get_reference_value(env, reference, &value) == napi_ok && value != NULL;
}

/* pollerRef(poller): makes the references strong. From now on the poller keeps the process alive. */
static napi_value call_poller_ref(napi_env env, napi_callback_info info) {
  napi_value result;
  struct poller *poller = read_poller(env, info, &result);
  if (poller == NULL) return result;
  if (poller->referenced) return js_number(env, 0);
  /* The array or the callback may have been collected although the finalizer has not run yet. */
  if (!is_reachable(env, poller->array) || !is_reachable(env, poller->callback)) return js_number(env, -ECANCELED);
  if (napi_reference_ref(env, poller->array, NULL) != napi_ok) return js_number(env, -ECANCELED);
  if (napi_reference_ref(env, poller->callback, NULL) != napi_ok) {
    napi_reference_unref(env, poller->array, NULL);
    return js_number(env, -ECANCELED);
  }
  poller->referenced = true;
  poller->shared[REFERENCED] = 1;
  poller->backend->ref(poller);
  return js_number(env, 0);
}

/*
 * pollerTurned(poller): makes the references weak if no call waits -> 1 if JavaScript must call pollerTurned() in the
 * next turn too
 */
static napi_value call_poller_turned(napi_env env, napi_callback_info info) {
  napi_value result;
  struct poller *poller = read_poller(env, info, &result);
  if (poller == NULL) return result;
  if (poller_is_idle(poller)) poller_unreference(poller);
  return js_number(env, poller->backend->loop_turned != NULL && poller->backend->loop_turned(poller));
}

bool init_poller(napi_env env, napi_value exports) {
  static const struct exported_function functions[] = {
      {"openPoller", call_open_poller},     {"pollerAdd", call_poller_add}, {"pollerModify", call_poller_modify},
      {"pollerRemove", call_poller_remove}, {"pollerRef", call_poller_ref}, {"pollerTurned", call_poller_turned},
  };
  return EXPORT_FUNCTIONS(env, exports, functions);
}
