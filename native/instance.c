/* The state of one environment, what it owns, and how it ends. */
#include "addon.h"
#include "direct.h"

#include <dlfcn.h>
#include <features.h>
#include <stdatomic.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef __GLIBC__
#define C_LIBRARY "glibc"
#else
#define C_LIBRARY "musl"
#endif

/*
 * The loader looks for this text before it calls dlopen(3): the addon of another package, or of another version of this
 * one, must not run. src/sys/loading/elf.ts reads it. It is exported, so that no linker drops it.
 */
extern const char berkeley_addon_mark[];
__attribute__((visibility("default"))) const char berkeley_addon_mark[] = "berkeley-addon " BERKELEY_VERSION " " C_LIBRARY;

struct addon *addon_of(napi_env env) {
  void *data = NULL;
  if (napi_get_instance_data(env, &data) != napi_ok) return NULL;
  return data;
}

bool pin(void) {
  static const char anchor;
  static atomic_bool done = false;
  Dl_info info;
  if (atomic_load(&done)) return true;
  if (dladdr(&anchor, &info) == 0 || info.dli_fname == NULL) return false;
  if (dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE) == NULL) return false;
  atomic_store(&done, true);
  return true;
}

int own(struct addon *addon, int fd) {
  size_t word = (size_t)fd / 64;
  if (word >= addon->owned.length) {
    size_t length = addon->owned.length == 0 ? 16 : addon->owned.length;
    while (length <= word) length *= 2;
    uint64_t *words = realloc(addon->owned.words, length * sizeof *words);
    if (words == NULL) return -ENOMEM;
    memset(words + addon->owned.length, 0, (length - addon->owned.length) * sizeof *words);
    addon->owned.words = words;
    addon->owned.length = length;
  }
  addon->owned.words[word] |= UINT64_C(1) << (fd % 64);
  /* Others have closed the number while it was recorded. */
  if (is_shared(addon, fd)) addon->shared.identities[fd] = 0;
  return fd;
}

int own_new(struct addon *addon, int fd) {
  int result = own(addon, fd);
  if (result < 0) close(fd);
  return result;
}

bool owns(const struct addon *addon, int fd) {
  if (fd < 0 || (size_t)fd / 64 >= addon->owned.length) return false;
  return (addon->owned.words[fd / 64] >> (fd % 64)) & 1;
}

void disown(struct addon *addon, int fd) {
  if (owns(addon, fd)) addon->owned.words[fd / 64] &= ~(UINT64_C(1) << (fd % 64));
  if (is_shared(addon, fd)) addon->shared.identities[fd] = 0;
}

void close_owned(struct addon *addon) {
  for (size_t word = 0; word < addon->owned.length; word++) {
    while (addon->owned.words[word] != 0) {
      int bit = __builtin_ctzll(addon->owned.words[word]);
      addon->owned.words[word] &= addon->owned.words[word] - 1;
      int fd = (int)(word * 64) + bit;
      if (!replaced(addon, fd)) close(fd);
    }
  }
}

/*
 * Runs when the environment ends: a worker terminated, or the process exiting in order. No JavaScript runs any more. Pollers
 * have hooks of their own, which were added later and so run before this one.
 */
static void end_environment(void *data) {
  struct addon *addon = data;
  addon->ended = true;
  close_owned(addon);
}

/* Runs last of all, when nothing can call the addon any more. */
static void free_addon(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  struct addon *addon = data;
  free(addon->owned.words);
  free(addon->pollers);
  forget_shared(addon);
  free(addon);
}

static napi_value init(napi_env env, napi_value exports) {
  struct addon *addon = calloc(1, sizeof *addon);
  if (addon == NULL) {
    napi_throw_error(env, "ENOMEM", "out of memory while the addon was loading");
    return NULL;
  }
  addon->env = env;
  if (napi_set_instance_data(env, addon, free_addon, NULL) != napi_ok) {
    free(addon);
    napi_throw_error(env, NULL, "the addon could not keep its state");
    return NULL;
  }
  if (napi_add_env_cleanup_hook(env, end_environment, addon) != napi_ok) {
    napi_throw_error(env, NULL, "the addon could not register its clean-up");
    return NULL;
  }
  init_direct();
  if (!init_lifecycle(env, exports) || !init_transfer(env, exports) || !init_batch(env, exports) ||
      !init_move(env, exports) || !init_options(env, exports) ||
      !init_pollset(env, exports) || !init_poller(env, exports) || !init_relay(env, exports) ||
      !init_signals(env, exports) || !init_names(env, exports) || !init_lookups(env, exports) ||
      !init_local(env, exports) || !init_shared(env, exports) || !init_constants(env, exports)) {
    bool pending = false;
    napi_is_exception_pending(env, &pending);
    if (!pending) napi_throw_error(env, NULL, "the addon could not build its exports");
    return NULL;
  }
  return exports;
}

NAPI_MODULE(berkeley, init)
