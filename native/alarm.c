/*
 * The alarm interrupts a system call that blocks. While the alarm is set, a timer sends a signal to the environment's
 * thread every millisecond, and a blocked system call fails with EINTR.
 *
 * The addon sets the alarm only for a call on a descriptor whose O_NONBLOCK is cleared (descriptors.c). A check with
 * poll(2) before the call is not enough: connect(2) waits for the peer, and another process can accept the connection
 * that poll(2) has reported.
 */
#include "addon.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

#define ALARM_PERIOD_NS 1000000

/* The handler does nothing: only a signal with a handler interrupts a system call. */
static void on_alarm(int signal) { (void)signal; }

/* The signal of the alarm: a real-time signal that had no handler, the same for all threads. 0 if none is chosen. */
static atomic_int alarm_signal = 0;
static atomic_flag choosing_signal = ATOMIC_FLAG_INIT;

/* Chooses a signal and installs its handler. Returns the signal, or 0 if none is free. */
static int choose_signal(void) {
  /* The handler stays installed after the last environment has ended, so the library must stay loaded. */
  if (!pin_library()) return 0;
  while (atomic_flag_test_and_set(&choosing_signal)) continue;
  int chosen = atomic_load(&alarm_signal);
  for (int signal = SIGRTMAX; chosen == 0 && signal >= SIGRTMIN; signal--) {
    struct sigaction before, action = {.sa_handler = on_alarm};
    if (sigaction(signal, NULL, &before) < 0) continue;
    if ((before.sa_flags & SA_SIGINFO) || before.sa_handler != SIG_DFL) continue;
    if (sigaction(signal, &action, NULL) == 0) chosen = signal;
  }
  atomic_store(&alarm_signal, chosen);
  atomic_flag_clear(&choosing_signal);
  return chosen;
}

/* Starts the timer, or stops it if the period is 0. */
static int set_alarm(struct addon *addon, long period_ns) {
  struct itimerspec value = {.it_interval.tv_nsec = period_ns, .it_value.tv_nsec = period_ns};
  return timer_settime(addon->alarm, 0, &value, NULL);
}

int start_alarm(struct addon *addon) {
  int signal = atomic_load(&alarm_signal);
  if (signal == 0) signal = choose_signal();
  if (signal == 0) {
    errno = ENOTSUP;
    return -1;
  }
  if (!addon->has_alarm) {
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = signal};
    event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
    if (timer_create(CLOCK_MONOTONIC, &event, &addon->alarm) < 0) {
      /* The caller would take EAGAIN for the errno of its socket call, and wait for an event. */
      if (errno == EAGAIN) errno = ENOMEM;
      return -1;
    }
    addon->has_alarm = true;
  }
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  if (pthread_sigmask(SIG_UNBLOCK, &set, NULL) != 0) {
    errno = ENOTSUP;
    return -1;
  }
  return set_alarm(addon, ALARM_PERIOD_NS);
}

void stop_alarm(struct addon *addon) {
  int error = errno;
  set_alarm(addon, 0);
  errno = error;
}

void delete_alarm(struct addon *addon) {
  if (addon->has_alarm) timer_delete(addon->alarm);
  addon->has_alarm = false;
}
