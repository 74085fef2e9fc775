/* Threads of the addon. */
#include "threads.h"

#include <signal.h>

int start_thread(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *data) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = pthread_create(thread, attributes, run, data);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return -error;
}
