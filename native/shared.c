/*
 * Descriptors that others may use as well: they were made elsewhere, duplicated, or JavaScript has asked for their number.
 *
 * Two things follow for such a descriptor. Others may close its number, and the kernel gives it to another file. So close()
 * compares the inode first. And O_NONBLOCK belongs to the open file description: a child process, or the receiver of a passed descriptor,
 * may clear it for everybody. To set it again would break the other side, which relies on a blocking descriptor. So calls
 * that send or receive have MSG_DONTWAIT, always. The others have no such flag: for them this file has the alarm.
 *
 * The alarm: a timer sends this thread a signal each millisecond until the call has returned, and the signal interrupts the call.
 * It is set only when the flag is found cleared and poll(2) has said that the call would not wait. Without the alarm the call
 * could still wait, because another process can take what poll(2) has seen: a connection that several processes accept.
 */
#include "addon.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

#define ALARM_PERIOD_NS 1000000

/*
 * Which file a descriptor is, of device and inode, in 52 bits, which a number of JavaScript holds. Each socket has an inode of its
 * own (sockfs). 0 for a number that is not open.
 */
static uint64_t identity(int fd) {
  struct stat status;
  if (fstat(fd, &status) < 0) return 0;
  uint64_t both = (((uint64_t)status.st_dev << 40) ^ (uint64_t)status.st_ino) & ((UINT64_C(1) << 52) - 1);
  return both == 0 ? 1 : both;
}

int64_t share(struct addon *addon, int fd) {
  uint64_t file = owns(addon, fd) ? identity(fd) : 0;
  if (file == 0) return -EBADF;
  struct shared *shared = &addon->shared;
  if ((size_t)fd >= shared->length) {
    size_t length = shared->length == 0 ? 64 : shared->length;
    while (length <= (size_t)fd) length *= 2;
    uint64_t *identities = realloc(shared->identities, length * sizeof *identities);
    if (identities == NULL) return -ENOMEM;
    memset(identities + shared->length, 0, (length - shared->length) * sizeof *identities);
    shared->identities = identities;
    shared->length = length;
  }
  shared->identities[fd] = file;
  return (int64_t)file;
}

bool is_file(int fd, int64_t file) { return identity(fd) == (uint64_t)file; }

bool replaced(const struct addon *addon, int fd) {
  return is_shared(addon, fd) && identity(fd) != addon->shared.identities[fd];
}

bool lacks_nonblock(int fd) {
  int flags = fcntl(fd, F_GETFL);
  return flags >= 0 && !(flags & O_NONBLOCK);
}

bool is_ready(int fd, short events) {
  struct pollfd entry = {.fd = fd, .events = events};
  return poll(&entry, 1, 0) != 0;
}

static void on_alarm(int signal) { (void)signal; }

/* The signal of the alarm: one that nobody else handles, the same for all threads; 0 before the first use, or if there is none. */
static atomic_int alarm_signal = 0;
static atomic_flag choosing = ATOMIC_FLAG_INIT;

static int choose_signal(void) {
  /* The handler stays when the last environment has ended. */
  if (!pin()) return 0;
  while (atomic_flag_test_and_set(&choosing)) continue;
  int chosen = atomic_load(&alarm_signal);
  for (int signal = SIGRTMAX; chosen == 0 && signal >= SIGRTMIN; signal--) {
    struct sigaction before, action = {.sa_handler = on_alarm};
    if (sigaction(signal, NULL, &before) < 0 || (before.sa_flags & SA_SIGINFO) || before.sa_handler != SIG_DFL) continue;
    if (sigaction(signal, &action, NULL) == 0) chosen = signal;
  }
  atomic_store(&alarm_signal, chosen);
  atomic_flag_clear(&choosing);
  return chosen;
}

static int set_alarm(struct addon *addon, long period) {
  struct itimerspec value = {.it_interval.tv_nsec = period, .it_value.tv_nsec = period};
  return timer_settime(addon->alarm, 0, &value, NULL);
}

int begin_alarm(struct addon *addon) {
  int signal = atomic_load(&alarm_signal);
  if (signal == 0) signal = choose_signal();
  if (signal == 0) return -ENOTSUP;
  if (!addon->has_alarm) {
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = signal};
    event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
    if (timer_create(CLOCK_MONOTONIC, &event, &addon->alarm) < 0) return errno == EAGAIN ? -ENOMEM : -errno;
    addon->has_alarm = true;
  }
  sigset_t only;
  sigemptyset(&only);
  sigaddset(&only, signal);
  if (pthread_sigmask(SIG_UNBLOCK, &only, NULL) != 0) return -ENOTSUP;
  return set_alarm(addon, ALARM_PERIOD_NS) < 0 ? -errno : 0;
}

void end_alarm(struct addon *addon) {
  int error = errno;
  set_alarm(addon, 0);
  errno = error;
}

void forget_shared(struct addon *addon) {
  if (addon->has_alarm) timer_delete(addon->alarm);
  addon->has_alarm = false;
  free(addon->shared.identities);
  addon->shared.identities = NULL;
  addon->shared.length = 0;
}

/* share(fd): others get to know the number -> which file it is, for close(). */
static napi_value call_share(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t fd;
  struct addon *addon = addon_of(env);
  if (addon == NULL || !read_args(env, info, 1, &args) || !arg_i32(&args, 0, &fd)) return NULL;
  return number(env, share(addon, fd));
}

bool init_shared(napi_env env, napi_value exports) {
  static const struct entry entries[] = {{"share", call_share}};
  return EXPORT_ALL(env, exports, entries);
}
