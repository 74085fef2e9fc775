/*
 * What the C++ library of glibc systems asks of its C library, and musl does not have. scripts/musl.mjs builds it under the
 * name of glibc's dynamic loader, which libstdc++ lists among its libraries; then a program that is linked with musl runs with
 * the libstdc++ of this machine. musl takes itself for libc.so.6.
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

/* -1: the unwinder looks by itself. */
int _dl_find_object(void *address, void *result) {
  (void)address, (void)result;
  return -1;
}

/* Destructors of threads are left out: the process that loads this ends soon. */
int __cxa_thread_atexit_impl(void (*function)(void *), void *object, void *library) {
  (void)function, (void)object, (void)library;
  return 0;
}

unsigned __cpu_model[4];
int __cpu_indicator_init(void) { return 0; }
