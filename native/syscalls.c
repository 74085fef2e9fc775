/* Detects whether system calls may bypass the C library; syscalls.h. */
#include "syscalls.h"

#include <dlfcn.h>

atomic_bool raw_syscalls = false;

void init_syscalls(void) {
  static const char *const names[] = {"recv", "send", "accept4", "connect", "close"};
  /* Other C libraries have other file names. Then the wrappers are used. */
  void *libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
  if (libc == NULL) return;
  bool original = true;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    void *found = dlsym(libc, names[i]);
    if (found == NULL || found != dlsym(RTLD_DEFAULT, names[i])) original = false;
  }
  dlclose(libc);
  atomic_store_explicit(&raw_syscalls, original, memory_order_relaxed);
}
