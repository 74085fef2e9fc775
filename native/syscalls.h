/*
 * System calls without the C library's wrapper, for those that are made for every message and every connection.
 *
 * recv(3) and its kin are cancellation points: in a process with threads glibc marks the thread as cancellable before the call
 * and takes that back after it, with an atomic operation each. Nobody cancels threads here. syscall(2) does neither.
 *
 * Where somebody has put other functions in the place of these (LD_PRELOAD: proxies, network stacks in user space, sanitizers),
 * the wrappers are called as usual, for those functions have to see every call.
 */
#ifndef BERKELEY_SYSCALLS_H
#define BERKELEY_SYSCALLS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Whether the C library's functions are its own: a fact of the process, found out when the addon is loaded. */
extern atomic_bool raw_syscalls;
void init_syscalls(void);

static inline bool use_raw_syscalls(void) { return atomic_load_explicit(&raw_syscalls, memory_order_relaxed); }

static inline ssize_t sys_recv(int fd, void *data, size_t size, int flags) {
  if (!use_raw_syscalls()) return recv(fd, data, size, flags);
  return syscall(SYS_recvfrom, fd, data, size, flags, NULL, NULL);
}

static inline ssize_t sys_send(int fd, const void *data, size_t size, int flags) {
  if (!use_raw_syscalls()) return send(fd, data, size, flags);
  return syscall(SYS_sendto, fd, data, size, flags, NULL, 0);
}

static inline int sys_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags) {
  if (!use_raw_syscalls()) return accept4(fd, address, length, flags);
  return (int)syscall(SYS_accept4, fd, address, length, flags);
}

static inline int sys_connect(int fd, const struct sockaddr *address, socklen_t length) {
  if (!use_raw_syscalls()) return connect(fd, address, length);
  return (int)syscall(SYS_connect, fd, address, length);
}

/*
 * sendmsg(2) and sendmmsg(2) with no limit but the kernel's. musl's sendmsg(3) copies the control data and refuses more than
 * 1,040 bytes with ENOMEM, and its sendmmsg(3) makes a system call for each message. musl does so because its struct msghdr
 * has narrower lengths than the kernel's, with padding beside them: a struct whose padding is 0 is laid out as the kernel's.
 * An initializer sets the padding to 0. The control data are in the kernel's layout already.
 */
static inline ssize_t sys_sendmsg(int fd, const struct msghdr *message, int flags) {
#ifdef __GLIBC__
  return sendmsg(fd, message, flags);
#else
  return use_raw_syscalls() ? syscall(SYS_sendmsg, fd, message, flags) : sendmsg(fd, message, flags);
#endif
}

static inline int sys_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags) {
#ifdef __GLIBC__
  return sendmmsg(fd, messages, count, flags);
#else
  return use_raw_syscalls() ? (int)syscall(SYS_sendmmsg, fd, messages, count, flags) : sendmmsg(fd, messages, count, flags);
#endif
}

static inline int sys_close(int fd) { return use_raw_syscalls() ? (int)syscall(SYS_close, fd) : close(fd); }

#endif
