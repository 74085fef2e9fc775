/* Functions for the process: pin the library, start a thread, test whether system calls may bypass the C library. */
#include "addon.h"
#include "syscalls.h"

#include <dlfcn.h>
#include <signal.h>

bool pin_library(void) {
  static const char anchor; /* an address inside this library, for dladdr(3) */
  static atomic_bool pinned = false;
  Dl_info info;
  if (atomic_load(&pinned)) return true;
  if (dladdr(&anchor, &info) == 0 || info.dli_fname == NULL) return false;
  if (dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE) == NULL) return false;
  atomic_store(&pinned, true);
  return true;
}

int start_thread(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *data) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = pthread_create(thread, attributes, run, data);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return -error;
}

atomic_bool raw_syscalls = false;

void init_syscalls(void) {
  static const char *const names[] = {"recv", "send", "accept4", "connect", "close"};
  /*
   * The file name of glibc. The dynamic linker of musl returns musl for every name that begins with "libc.". With any
   * other C library, raw_syscalls stays false.
   */
  void *libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
  if (libc == NULL) return;
  /* A wrapper is replaced if a search in all libraries finds another function than that of the C library. */
  bool original = true;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    void *found = dlsym(libc, names[i]);
    if (found == NULL || found != dlsym(RTLD_DEFAULT, names[i])) original = false;
  }
  dlclose(libc);
  atomic_store_explicit(&raw_syscalls, original, memory_order_relaxed);
}
