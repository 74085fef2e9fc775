/* The state of one environment: created when the addon is loaded, released when the environment ends. */
#include "addon.h"
#include "syscalls.h"

#include <features.h>
#include <stdlib.h>

#ifdef __GLIBC__
#define C_LIBRARY "glibc"
#else
#define C_LIBRARY "musl"
#endif

/*
 * The loader in TypeScript (src/sys/loading/elf.ts) searches the addon's file for this mark before it calls dlopen(3).
 * So the loader never runs the addon of another package or version. The symbol is exported so that the linker keeps it.
 */
extern const char berkeley_addon_mark[];
__attribute__((visibility("default"))) const char berkeley_addon_mark[] =
    "berkeley-addon " BERKELEY_VERSION " " C_LIBRARY;

struct addon *get_addon(napi_env env) {
  void *data = NULL;
  if (napi_get_instance_data(env, &data) != napi_ok) return NULL;
  return data;
}

/*
 * The cleanup hook of the environment. It runs when a worker ends or the process exits normally. JavaScript does not
 * run any more. Hooks run in reverse order, so the hooks of pollers, which were added later, have run already.
 */
static void end_environment(void *data) {
  struct addon *addon = data;
  addon->ended = true;
  close_owned(addon);
}

/* Node-API calls this function after all cleanup hooks, when no code can call the addon any more. */
static void free_addon(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  struct addon *addon = data;
  free(addon->owned.items);
  free(addon->pollers);
  free_shared(addon);
  delete_alarm(addon);
  free(addon);
}

static napi_value init(napi_env env, napi_value exports) {
  struct addon *addon = calloc(1, sizeof *addon);
  if (addon == NULL) {
    napi_throw_error(env, "ENOMEM", "Cannot load the addon: out of memory");
    return NULL;
  }
  addon->env = env;
  if (napi_set_instance_data(env, addon, free_addon, NULL) != napi_ok) {
    free(addon);
    napi_throw_error(env, NULL, "Cannot load the addon: Node-API refuses its instance data");
    return NULL;
  }
  if (napi_add_env_cleanup_hook(env, end_environment, addon) != napi_ok) {
    napi_throw_error(env, NULL, "Cannot load the addon: Node-API refuses its cleanup hook");
    return NULL;
  }
  init_syscalls();
  static bool (*const add_exports[])(napi_env, napi_value) = {
      init_socket, init_descriptors, init_sendrecv, init_batch,    init_splice,  init_sockopt, init_poll,
      init_poller, init_relay,       init_signals,  init_resolver, init_lookups, init_netdb,   init_constants,
  };
  for (size_t i = 0; i < sizeof add_exports / sizeof *add_exports; i++) {
    if (add_exports[i](env, exports)) continue;
    bool pending = false;
    napi_is_exception_pending(env, &pending);
    if (!pending) napi_throw_error(env, NULL, "Cannot load the addon: Node-API refuses its exports");
    return NULL;
  }
  return exports;
}

NAPI_MODULE(berkeley, init)
