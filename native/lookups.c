/*
 * The part of lookups that runs on the thread of the environment: starts, abandons and resumes lookups, and calls their
 * callbacks. lookup_threads.c runs the lookups.
 */
#include "lookups.h"

#include <stdlib.h>

/* References or unreferences the threadsafe function: it keeps the loop alive exactly while a caller waits. */
static void update_loop_reference(napi_env env, struct lookups *lookups) {
  bool awaited = lookups->awaited_count > 0;
  if (awaited == lookups->keeps_loop_alive) return;
  lookups->keeps_loop_alive = awaited;
  if (awaited) napi_ref_threadsafe_function(env, lookups->notify);
  else napi_unref_threadsafe_function(env, lookups->notify);
}

static void free_lookup(napi_env env, struct lookup *lookup) {
  if (lookup->callback != NULL) napi_delete_reference(env, lookup->callback);
  lookup->destroy(lookup);
}

/* The threadsafe function: calls the callbacks of all completed lookups. */
static void on_completed(napi_env env, napi_value unused, void *context, void *data) {
  (void)unused;
  (void)data;
  struct lookups *lookups = context;
  /* Without `env` the environment is ending, and close_lookups() has released everything. */
  if (env == NULL) return;
  for (bool ok = true; ok;) {
    pthread_mutex_lock(&lookups->mutex);
    struct lookup *lookup = lookups->completed.first;
    if (lookup != NULL) list_remove(&lookups->completed, lookup);
    pthread_mutex_unlock(&lookups->mutex);
    if (lookup == NULL) break;
    if (lookup->awaited) lookups->awaited_count--;
    update_loop_reference(env, lookups);
    napi_handle_scope scope;
    ok = napi_open_handle_scope(env, &scope) == napi_ok;
    if (ok) {
      napi_value parts[3];
      if (lookup->create_result(env, lookup, parts)) call_js_from_node_api(env, lookup->callback, 3, parts);
      napi_close_handle_scope(env, scope);
    }
    free_lookup(env, lookup);
  }
}

/*
 * The cleanup hook of the environment. The hook of the threadsafe function was added earlier, so it runs after this
 * one.
 */
static void close_lookups(void *data) {
  struct lookups *lookups = data;
  napi_env env = lookups->addon->env;
  lookups->addon->lookups = NULL;
  pthread_mutex_lock(&lookups->mutex);
  lookups->closed = true;
  struct lookup_list *const lists[] = {&lookups->unclassified, &lookups->remote, &lookups->completed};
  for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
    for (struct lookup *lookup = lists[i]->first, *next; lookup != NULL; lookup = next) {
      next = lookup->next;
      free_lookup(env, lookup);
    }
    lists[i]->first = lists[i]->last = NULL;
  }
  lookups->queue_length = 0;
  for (struct lookup *lookup = lookups->running.first; lookup != NULL; lookup = lookup->next) {
    napi_delete_reference(env, lookup->callback);
    lookup->callback = NULL;
  }
  pthread_cond_broadcast(&lookups->work_available);
  napi_threadsafe_function notify = lookups->notify;
  release_lookups(lookups);
  napi_release_threadsafe_function(notify, napi_tsfn_abort);
}

static int open_lookups(napi_env env, struct addon *addon) {
  /* A lookup thread may return to this library after the environment has ended, so the library must stay loaded. */
  if (!pin_library()) return -ELIBACC;
  struct lookups *lookups = calloc(1, sizeof *lookups);
  if (lookups == NULL) return -ENOMEM;
  lookups->addon = addon;
  lookups->references = 1;
  pthread_condattr_t attributes;
  pthread_mutex_init(&lookups->mutex, NULL);
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&lookups->work_available, &attributes);
  pthread_condattr_destroy(&attributes);
  napi_value name;
  if (napi_create_string_utf8(env, "berkeley lookups", NAPI_AUTO_LENGTH, &name) == napi_ok &&
      napi_create_threadsafe_function(env, NULL, NULL, name, 0, 1, NULL, NULL, lookups, on_completed,
                                      &lookups->notify) == napi_ok) {
    napi_unref_threadsafe_function(env, lookups->notify);
    if (napi_add_env_cleanup_hook(env, close_lookups, lookups) == napi_ok) {
      addon->lookups = lookups;
      return 0;
    }
    napi_release_threadsafe_function(lookups->notify, napi_tsfn_abort);
  }
  pthread_mutex_lock(&lookups->mutex);
  release_lookups(lookups);
  return -ENOMEM;
}

int64_t start_lookup(napi_env env, struct lookup *lookup, napi_value callback) {
  struct addon *addon = get_addon(env);
  if (addon == NULL || addon->ended) return -ECANCELED;
  if (addon->lookups == NULL) {
    int error = open_lookups(env, addon);
    if (error != 0) return error;
  }
  struct lookups *lookups = addon->lookups;
  if (napi_create_reference(env, callback, 1, &lookup->callback) != napi_ok) return -ENOMEM;
  lookup->ticket = ++lookups->last_ticket;
  lookup->awaited = true;
  pthread_mutex_lock(&lookups->mutex);
  bool submitted = submit_lookup(lookups, lookup);
  pthread_mutex_unlock(&lookups->mutex);
  if (!submitted) {
    napi_delete_reference(env, lookup->callback);
    lookup->callback = NULL;
    return -EAGAIN;
  }
  lookups->awaited_count++;
  update_loop_reference(env, lookups);
  return lookup->ticket;
}

/*
 * Reads the ticket of abandonLookup() or resumeLookup() and locks the mutex. For a wrong argument, or before the first
 * lookup, locks nothing, returns NULL, and stores in *result the value that the caller must return.
 */
static struct lookups *lock_lookups(napi_env env, napi_callback_info info, int64_t *ticket, napi_value *result) {
  struct args args;
  struct addon *addon = get_addon(env);
  *result = NULL;
  if (addon == NULL || !read_args(env, info, 1, &args) || !arg_offset(&args, 0, ticket)) return NULL;
  if (addon->lookups == NULL) {
    *result = js_number(env, -ENOENT);
    return NULL;
  }
  pthread_mutex_lock(&addon->lookups->mutex);
  return addon->lookups;
}

/*
 * abandonLookup(ticket): no caller waits for the lookup any more. Returns 0 if the lookup was in the queue: it is
 * removed, and its callback is never called. Returns 1 if a thread has taken the lookup: its callback will be called.
 * Until then resumeLookup() can attach a caller again, unless a local thread has dropped the lookup (ENOENT).
 */
static napi_value call_abandon_lookup(napi_env env, napi_callback_info info) {
  int64_t ticket;
  napi_value result;
  struct lookups *lookups = lock_lookups(env, info, &ticket, &result);
  if (lookups == NULL) return result;
  struct lookup *lookup = find_lookup(lookups, ticket);
  bool removed = lookup != NULL && is_queued(lookup), was_awaited = lookup != NULL && lookup->awaited;
  if (removed) dequeue_lookup(lookups, lookup);
  if (was_awaited) {
    lookup->awaited = false;
    lookups->awaited_count--;
    if (lookup->state == LOOKUP_RUNNING && !lookup->local) {
      lookups->abandoned_threads++;
      assign_threads(lookups);
    }
  }
  pthread_mutex_unlock(&lookups->mutex);
  if (lookup == NULL) return js_number(env, -ENOENT);
  if (removed) free_lookup(env, lookup);
  update_loop_reference(env, lookups);
  return js_number(env, removed ? 0 : 1);
}

/* resumeLookup(ticket): a caller waits again for an abandoned lookup. */
static napi_value call_resume_lookup(napi_env env, napi_callback_info info) {
  int64_t ticket;
  napi_value result;
  struct lookups *lookups = lock_lookups(env, info, &ticket, &result);
  if (lookups == NULL) return result;
  struct lookup *lookup = find_lookup(lookups, ticket);
  /* abandonLookup() frees queued lookups, so a queued lookup was not abandoned. */
  bool found = lookup != NULL && !is_queued(lookup);
  if (found && !lookup->awaited) {
    lookup->awaited = true;
    lookups->awaited_count++;
    if (lookup->state == LOOKUP_RUNNING && !lookup->local) lookups->abandoned_threads--;
  }
  pthread_mutex_unlock(&lookups->mutex);
  if (!found) return js_number(env, -ENOENT);
  update_loop_reference(env, lookups);
  return js_number(env, 0);
}

bool init_lookups(napi_env env, napi_value exports) {
  static const struct exported_function functions[] = {
      {"abandonLookup", call_abandon_lookup},
      {"resumeLookup", call_resume_lookup},
  };
  return EXPORT_FUNCTIONS(env, exports, functions);
}
