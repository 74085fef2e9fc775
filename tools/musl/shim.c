/*
 * Functions that the libstdc++ of a glibc system requires from its C library, and that musl does not have. With them, a
 * program that is linked with musl runs with the libstdc++ of this machine. scripts/musl.mjs gives this library the
 * name of glibc's dynamic loader, because libstdc++ loads a library of that name. It also loads libc.so.6, for which
 * musl itself is used.
 */
#define _GNU_SOURCE
#include <locale.h>
#include <stdint.h>
#include <sys/random.h>
#include <time.h>

char __libc_single_threaded = 0;

uint32_t arc4random(void) {
  uint32_t number = 0;
  return getrandom(&number, sizeof number, 0) == sizeof number ? number : 0;
}

size_t __strftime_l(char *text, size_t size, const char *format, const struct tm *time, locale_t locale) {
  return strftime_l(text, size, format, time, locale);
}

/* -1: not found. The unwinder then searches with dl_iterate_phdr(3). */
int _dl_find_object(void *address, void *result) {
  (void)address, (void)result;
  return -1;
}

/* Destructors of threads are not run. The test processes end soon, so that does no harm. */
int __cxa_thread_atexit_impl(void (*function)(void *), void *object, void *library) {
  (void)function, (void)object, (void)library;
  return 0;
}

unsigned __cpu_model[4];
int __cpu_indicator_init(void) { return 0; }
