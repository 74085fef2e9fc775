/*
 * Signals that have come while the thread was in our calls, or shortly before.
 *
 * A listener for a signal is JavaScript, and runs when the loop turns. A thread that blocks has to know of a signal earlier, and
 * poll(2) says EINTR only when the signal comes within it. So the handler that the runtime has installed is preceded by one of
 * ours, which counts and then calls it. That needs nothing of the runtime but that it uses sigaction(2).
 *
 * A signal has been heard when its listener is about to run. The handler wakes a uv_async_t of the environment's loop before it
 * calls the runtime's handler, and libuv deals with signals at the end of a batch of events: so the callback of the uv_async_t
 * runs before the listener does. Without libuv JavaScript says that the loop has turned.
 *
 * Signals belong to the process, and so does the state of this file. Only the main thread has listeners for signals; nothing here
 * is called from another one but the handler, which may run anywhere.
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
  /* The handler that ours calls; 0 before it was installed. */
  atomic_uintptr_t next;
  atomic_bool with_info;
  atomic_uint caught;
  unsigned heard;
  /* There are listeners, and the handler of the runtime was not there yet when that was said. */
  bool wanted;
} signals[NSIG];

/* Of all signals: how many have come, and how many of them JavaScript knows of. */
static atomic_uint caught;
static unsigned told;

static uv_async_t heard;
static atomic_bool awake; /* heard may be sent */

static const struct {
  const char *name;
  int number;
} names[] = {
    {"SIGHUP", SIGHUP},       {"SIGINT", SIGINT},   {"SIGQUIT", SIGQUIT}, {"SIGTRAP", SIGTRAP}, {"SIGABRT", SIGABRT},
    {"SIGIOT", SIGABRT},      {"SIGUSR1", SIGUSR1}, {"SIGUSR2", SIGUSR2}, {"SIGPIPE", SIGPIPE}, {"SIGALRM", SIGALRM},
    {"SIGTERM", SIGTERM},     {"SIGCONT", SIGCONT}, {"SIGTSTP", SIGTSTP}, {"SIGTTIN", SIGTTIN}, {"SIGTTOU", SIGTTOU},
    {"SIGURG", SIGURG},       {"SIGXCPU", SIGXCPU}, {"SIGXFSZ", SIGXFSZ}, {"SIGVTALRM", SIGVTALRM},
    {"SIGIO", SIGIO},         {"SIGPOLL", SIGIO},   {"SIGPWR", SIGPWR},   {"SIGSYS", SIGSYS},
#ifdef SIGSTKFLT
    {"SIGSTKFLT", SIGSTKFLT},
#endif
};

static void on_signal(int number, siginfo_t *info, void *context) {
  int error = errno;
  atomic_fetch_add(&signals[number].caught, 1);
  atomic_fetch_add(&caught, 1);
  if (atomic_load(&awake)) uv_async_send(&heard);
  errno = error;
  uintptr_t next = atomic_load(&signals[number].next);
  if (atomic_load(&signals[number].with_info)) {
    ((void (*)(int, siginfo_t *, void *))next)(number, info, context);
  } else {
    ((void (*)(int))next)(number);
  }
}

/*
 * Puts our handler before the runtime's; it outlives every environment. False when there is none, or one that is not known to be the runtime's: another copy of
 * this library may have put its own handler before ours, and two that precede each other would call each other for ever. So the
 * first handler that was found is the only one that is ever preceded.
 */
static bool precede(int number) {
  struct sigaction action;
  if (sigaction(number, NULL, &action) != 0) return false;
  bool with_info = (action.sa_flags & SA_SIGINFO) != 0;
  if (with_info && action.sa_sigaction == on_signal) return true;
  if (!with_info && (action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN)) return false;
  if ((action.sa_flags & (int)SA_RESETHAND) != 0) return false;
  uintptr_t found = with_info ? (uintptr_t)action.sa_sigaction : (uintptr_t)action.sa_handler;
  uintptr_t known = atomic_load(&signals[number].next);
  if ((known != 0 && known != found) || !pin()) return false;
  atomic_store(&signals[number].with_info, with_info);
  atomic_store(&signals[number].next, found);
  action.sa_flags |= SA_SIGINFO;
  action.sa_sigaction = on_signal;
  return sigaction(number, &action, NULL) == 0;
}

/*
 * signalListened(name, …): to be registered for 'newListener' of the process. There is a listener for the event `name`, which may
 * be a signal. Those that come in every program which starts children or has a terminal are left alone.
 */
static napi_value call_signal_listened(napi_env env, napi_callback_info info) {
  size_t count = 1, length;
  napi_value value;
  napi_valuetype type;
  char name[16];
  if (napi_get_cb_info(env, info, &count, &value, NULL, NULL) != napi_ok || count < 1 ||
      napi_typeof(env, value, &type) != napi_ok || type != napi_string ||
      napi_get_value_string_utf8(env, value, name, sizeof name, &length) != napi_ok) {
    return NULL;
  }
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (strcmp(name, names[i].name) == 0) signals[names[i].number].wanted = !precede(names[i].number);
  }
  return NULL;
}

static void forget(void) {
  told = atomic_load(&caught);
  for (int number = 1; number < NSIG; number++) signals[number].heard = atomic_load(&signals[number].caught);
}

/* takeSignals() -> how many have come since this was called last, and were not heard in between. */
static napi_value call_take_signals(napi_env env, napi_callback_info info) {
  (void)info;
  for (int number = 1; number < NSIG; number++) {
    if (signals[number].wanted) signals[number].wanted = !precede(number);
  }
  unsigned now = atomic_load(&caught), count = now - told;
  told = now;
  return number(env, count);
}

/* unheardSignals(number) -> how many have come whose listeners have not run yet. */
static napi_value call_unheard_signals(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t which;
  if (!read_args(env, info, 1, &args) || !arg_i32(&args, 0, &which)) return NULL;
  if (which < 1 || which >= NSIG) return number(env, -EINVAL);
  return number(env, atomic_load(&signals[which].caught) - signals[which].heard);
}

/* forgetSignals(): the listeners of all that have come have run. */
static napi_value call_forget_signals(napi_env env, napi_callback_info info) {
  (void)env;
  (void)info;
  forget();
  return NULL;
}

static napi_async_cleanup_hook_handle hook;

static void on_heard(uv_async_t *handle) {
  (void)handle;
  forget();
}

static void on_closed(uv_handle_t *handle) {
  (void)handle;
  napi_remove_async_cleanup_hook(hook);
}

static void end_environment(napi_async_cleanup_hook_handle handle, void *data) {
  (void)handle;
  (void)data;
  atomic_store(&awake, false);
  uv_close((uv_handle_t *)&heard, on_closed);
}

/*
 * watchSignals(): libuv says from now on when signals were heard. -ENOTSUP without libuv, -EPERM on a worker thread: the
 * main thread is the one that has the number of the process.
 */
static napi_value call_watch_signals(napi_env env, napi_callback_info info) {
  (void)info;
  uv_loop_t *loop;
  if (syscall(SYS_gettid) != getpid()) return number(env, -EPERM);
  if (atomic_load(&awake)) return number(env, 0);
  if (!has_uv() || napi_get_uv_event_loop(env, &loop) != napi_ok) return number(env, -ENOTSUP);
  if (napi_add_async_cleanup_hook(env, end_environment, NULL, &hook) != napi_ok) return number(env, -ENOMEM);
  int error = uv_async_init(loop, &heard, on_heard);
  if (error != 0) {
    napi_remove_async_cleanup_hook(hook);
    return number(env, error);
  }
  uv_unref((uv_handle_t *)&heard);
  atomic_store(&awake, true);
  return number(env, 0);
}

bool init_signals(napi_env env, napi_value exports) {
  static const struct entry entries[] = {
      {"watchSignals", call_watch_signals},     {"signalListened", call_signal_listened},
      {"takeSignals", call_take_signals},       {"unheardSignals", call_unheard_signals},
      {"forgetSignals", call_forget_signals},
  };
  return EXPORT_ALL(env, exports, entries);
}
