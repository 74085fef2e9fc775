#ifndef BERKELEY_THREADS_H
#define BERKELEY_THREADS_H

#include <pthread.h>

/* Starts a thread that blocks every signal: signals are for the threads of the runtime. Returns 0 or -errno. */
int start_thread(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *data);

#endif
