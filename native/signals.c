/*
 * Signals that arrive during a blocking call, or shortly before it.
 *
 * The listener of a signal is JavaScript and runs when the loop turns. A thread that blocks must notice a signal
 * earlier, and poll(2) returns EINTR only if the signal arrives during poll(2). So the addon replaces the runtime's
 * handler with its own, which counts the signal and then calls the runtime's handler. This works with any runtime that
 * installs its handler with sigaction(2).
 *
 * A signal counts as handled when its listener is about to run. The addon's handler sends to a uv_async_t on the loop
 * of the environment before it calls the runtime's handler. libuv processes signals at the end of a batch of events, so
 * the callback of the uv_async_t runs before the listener. Without libuv JavaScript calls markSignalsHandled().
 *
 * Signals belong to the process, and so does the state of this file. Only the main thread has listeners for signals. So
 * all functions here run on the main thread, except on_signal(), which can run on any thread.
 */
#include "addon.h"
#include "uv_weak.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct {
  /* The runtime's handler, which on_signal() calls. 0 until on_signal() is installed. */
  atomic_uintptr_t runtime_handler;
  atomic_bool with_info; /* the runtime's handler was installed with SA_SIGINFO and takes three arguments */
  atomic_uint caught;    /* how often the signal has arrived */
  unsigned handled;      /* the part of `caught` that counts as handled */
  /* The signal has a listener, but the runtime had not installed its handler when the listener was added. */
  bool install_pending;
} signals[NSIG];

/* For all signals together: how many have arrived, and how many of them were returned by takeSignals() or handled. */
static atomic_uint total_caught;
static unsigned total_taken;

static uv_async_t handled_async;
static atomic_bool async_active; /* handled_async is initialized, and on_signal() may send to it */

static const struct {
  const char *name;
  int number;
} signal_names[] = {
    {"SIGHUP", SIGHUP},       {"SIGINT", SIGINT},   {"SIGQUIT", SIGQUIT},     {"SIGTRAP", SIGTRAP},
    {"SIGABRT", SIGABRT},     {"SIGIOT", SIGABRT},  {"SIGUSR1", SIGUSR1},     {"SIGUSR2", SIGUSR2},
    {"SIGPIPE", SIGPIPE},     {"SIGALRM", SIGALRM}, {"SIGTERM", SIGTERM},     {"SIGCONT", SIGCONT},
    {"SIGTSTP", SIGTSTP},     {"SIGTTIN", SIGTTIN}, {"SIGTTOU", SIGTTOU},     {"SIGURG", SIGURG},
    {"SIGXCPU", SIGXCPU},     {"SIGXFSZ", SIGXFSZ}, {"SIGVTALRM", SIGVTALRM}, {"SIGIO", SIGIO},
    {"SIGPOLL", SIGIO},       {"SIGPWR", SIGPWR},   {"SIGSYS", SIGSYS},
#ifdef SIGSTKFLT
    {"SIGSTKFLT", SIGSTKFLT},
#endif
};

static void on_signal(int number, siginfo_t *info, void *context) {
  int error = errno;
  atomic_fetch_add(&signals[number].caught, 1);
  atomic_fetch_add(&total_caught, 1);
  if (atomic_load(&async_active)) uv_async_send(&handled_async);
  errno = error;
  uintptr_t runtime_handler = atomic_load(&signals[number].runtime_handler);
  if (atomic_load(&signals[number].with_info)) {
    ((void (*)(int, siginfo_t *, void *))runtime_handler)(number, info, context);
  } else {
    ((void (*)(int))runtime_handler)(number);
  }
}

/*
 * Replaces the runtime's handler of a signal with on_signal(), which stays installed after all environments have ended.
 * Returns false if the signal has no handler yet. Also returns false if the handler differs from the one that was found
 * first: it may be that of another copy of this library. Two copies that replace each other's handler would call each
 * other endlessly.
 */
static bool install_handler(int number) {
  struct sigaction action;
  if (sigaction(number, NULL, &action) != 0) return false;
  bool with_info = (action.sa_flags & SA_SIGINFO) != 0;
  if (with_info && action.sa_sigaction == on_signal) return true;
  if (!with_info && (action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN)) return false;
  /* Not the handler of a listener: at its start, Node.js installs such a handler for SIGINT and SIGTERM. */
  if ((action.sa_flags & (int)SA_RESETHAND) != 0) return false;
  uintptr_t found = with_info ? (uintptr_t)action.sa_sigaction : (uintptr_t)action.sa_handler;
  uintptr_t known = atomic_load(&signals[number].runtime_handler);
  if ((known != 0 && known != found) || !pin_library()) return false;
  atomic_store(&signals[number].with_info, with_info);
  atomic_store(&signals[number].runtime_handler, found);
  action.sa_flags |= SA_SIGINFO;
  action.sa_sigaction = on_signal;
  return sigaction(number, &action, NULL) == 0;
}

/*
 * countSignal(name, …): installs on_signal() if the event `name` is a signal in the table. JavaScript adds this
 * function as a 'newListener' listener of `process`, so further arguments are ignored. SIGCHLD and SIGWINCH are not in
 * the table, because every program with children or a terminal gets them.
 */
static napi_value call_count_signal(napi_env env, napi_callback_info info) {
  size_t count = 1, length;
  napi_value value;
  napi_valuetype type;
  char name[16];
  if (napi_get_cb_info(env, info, &count, &value, NULL, NULL) != napi_ok || count < 1 ||
      napi_typeof(env, value, &type) != napi_ok || type != napi_string ||
      napi_get_value_string_utf8(env, value, name, sizeof name, &length) != napi_ok) {
    return NULL;
  }
  for (size_t i = 0; i < sizeof signal_names / sizeof *signal_names; i++) {
    if (strcmp(name, signal_names[i].name) != 0) continue;
    signals[signal_names[i].number].install_pending = !install_handler(signal_names[i].number);
  }
  return NULL;
}

static void mark_handled(void) {
  total_taken = atomic_load(&total_caught);
  for (int number = 1; number < NSIG; number++) signals[number].handled = atomic_load(&signals[number].caught);
}

/* takeSignals() -> number of signals that have arrived since the last call and were not handled in between */
static napi_value call_take_signals(napi_env env, napi_callback_info info) {
  (void)info;
  for (int number = 1; number < NSIG; number++) {
    if (signals[number].install_pending) signals[number].install_pending = !install_handler(number);
  }
  unsigned total = atomic_load(&total_caught), count = total - total_taken;
  total_taken = total;
  return js_number(env, count);
}

/* pendingSignals(number) -> how often the signal has arrived since its listeners last ran */
static napi_value call_pending_signals(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t number;
  if (!read_args(env, info, 1, &args) || !arg_i32(&args, 0, &number)) return NULL;
  if (number < 1 || number >= NSIG) return js_number(env, -EINVAL);
  return js_number(env, atomic_load(&signals[number].caught) - signals[number].handled);
}

/* markSignalsHandled(): the listeners of all signals so far have run. */
static napi_value call_mark_signals_handled(napi_env env, napi_callback_info info) {
  (void)env;
  (void)info;
  mark_handled();
  return NULL;
}

/* The handle of signals_end_environment(). */
static napi_async_cleanup_hook_handle hook;

/* The callback of handled_async, which libuv calls before the listeners run. */
static void on_handled(uv_async_t *handle) {
  (void)handle;
  mark_handled();
}

static void on_signals_closed(uv_handle_t *handle) {
  (void)handle;
  napi_remove_async_cleanup_hook(hook);
}

static void signals_end_environment(napi_async_cleanup_hook_handle handle, void *data) {
  (void)handle;
  (void)data;
  atomic_store(&async_active, false);
  uv_close((uv_handle_t *)&handled_async, on_signals_closed);
}

/*
 * watchSignals(): from now on libuv reports when signals are handled. -ENOTSUP without libuv, -EPERM on a worker
 * thread. The main thread is the thread whose id is the process id.
 */
static napi_value call_watch_signals(napi_env env, napi_callback_info info) {
  (void)info;
  uv_loop_t *loop;
  if (syscall(SYS_gettid) != getpid()) return js_number(env, -EPERM);
  if (atomic_load(&async_active)) return js_number(env, 0);
  if (!has_uv() || napi_get_uv_event_loop(env, &loop) != napi_ok) return js_number(env, -ENOTSUP);
  if (napi_add_async_cleanup_hook(env, signals_end_environment, NULL, &hook) != napi_ok) return js_number(env, -ENOMEM);
  int error = uv_async_init(loop, &handled_async, on_handled);
  if (error != 0) {
    napi_remove_async_cleanup_hook(hook);
    return js_number(env, error);
  }
  uv_unref((uv_handle_t *)&handled_async);
  atomic_store(&async_active, true);
  return js_number(env, 0);
}

bool init_signals(napi_env env, napi_value exports) {
  static const struct exported_function functions[] = {
      {"watchSignals", call_watch_signals},
      {"countSignal", call_count_signal},
      {"takeSignals", call_take_signals},
      {"pendingSignals", call_pending_signals},
      {"markSignalsHandled", call_mark_signals_handled},
  };
  return EXPORT_FUNCTIONS(env, exports, functions);
}
