/*
 * The state of one environment, and the functions that add the calls of each file to the exports.
 *
 * Every call takes numbers and byte views, checks their bounds, makes a system call and returns a number >= 0 or
 * -errno. Four files are exceptions:
 *   resolver.c, netdb.c   return results of the C library's name functions: strings, lists and bytes.
 *   splice.c, relay.c     make several system calls in a row. A return to JavaScript between them would cost more than
 *                         the system calls.
 * No call creates a promise or an error message for the user, and none throws when a system call fails. A wrong
 * argument (not a number, a range outside its view) is a bug in our own TypeScript. Then the call throws a TypeError or
 * RangeError, and never reads or writes outside the view.
 *
 * All state belongs to the instance data of one environment (`struct addon`), so each worker thread has its own state.
 * The exceptions are constant facts of the process (syscalls.h), and the signal handlers, which belong to the process
 * (alarm.c, signals.c).
 */
#ifndef BERKELEY_ADDON_H
#define BERKELEY_ADDON_H

#include "values.h"

#include <node_api.h>

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* A growing array. Items that were not set are 0. */
struct u64_array {
  uint64_t *items;
  size_t length;
};

struct poller;
struct lookups;

struct addon {
  napi_env env;
  /* Indexed by poller number; unused entries are NULL. */
  struct poller **pollers;
  size_t poller_count;
  struct lookups *lookups; /* NULL before the first lookup */
  /* One bit per descriptor number. A set bit means that this environment owns the descriptor. */
  struct u64_array owned;
  /* Indexed by descriptor number: the file identity of a shared descriptor, 0 for any other. shared_fds.c */
  struct u64_array shared;
  timer_t alarm;
  bool has_alarm;
  bool ended; /* the environment is being torn down: calls return -ECANCELED */
};

struct addon *get_addon(napi_env env);
/*
 * Keeps this library mapped until the process ends. Node unloads an addon when the last worker that loaded it ends, so
 * this call must come before anything outside an environment stores a pointer to code of the addon. Returns false on
 * failure.
 */
bool pin_library(void);

bool init_socket(napi_env env, napi_value exports);
bool init_ownership(napi_env env, napi_value exports);
bool init_shared_fds(napi_env env, napi_value exports);
bool init_sendrecv(napi_env env, napi_value exports);
bool init_batch(napi_env env, napi_value exports);
bool init_sendfile(napi_env env, napi_value exports);
bool init_splice(napi_env env, napi_value exports);
bool init_sockopt(napi_env env, napi_value exports);
bool init_poll(napi_env env, napi_value exports);
bool init_poller(napi_env env, napi_value exports);
bool init_relay(napi_env env, napi_value exports);
bool init_signals(napi_env env, napi_value exports);
bool init_resolver(napi_env env, napi_value exports);
bool init_lookups(napi_env env, napi_value exports);
bool init_netdb(napi_env env, napi_value exports);
bool init_constants(napi_env env, napi_value exports);

#endif
