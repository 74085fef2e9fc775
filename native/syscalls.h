/*
 * System calls without the C library's wrappers, for the calls that are made for each message and each connection.
 *
 * recv(3) and similar functions are cancellation points: in a process with threads, glibc makes an atomic operation
 * before the call and one after it. syscall(2) makes neither. The addon never cancels threads, so it needs neither.
 *
 * Other libraries can replace the wrappers (LD_PRELOAD: proxies, network stacks in user space, sanitizers). Then the
 * addon calls the wrappers, because the replacements must get every call.
 */
#ifndef BERKELEY_SYSCALLS_H
#define BERKELEY_SYSCALLS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* True if no library replaces the wrappers of the C library. init_syscalls() sets it when the addon is loaded. */
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
 * sendmsg(2) and sendmmsg(2) without the limits of musl's wrappers: sendmsg(3) copies the control data and fails with
 * ENOMEM for more than 1,040 bytes, and sendmmsg(3) makes a system call for each message.
 *
 * musl's wrappers only convert the layout: the lengths in musl's struct msghdr are narrower than the kernel's and have
 * padding beside them. If the padding is 0, the struct has the kernel's layout. All callers set the padding to 0 with
 * an initializer, and pass control data in the kernel's layout. So no conversion is needed.
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
  return use_raw_syscalls() ? (int)syscall(SYS_sendmmsg, fd, messages, count, flags)
                            : sendmmsg(fd, messages, count, flags);
#endif
}

static inline int sys_close(int fd) { return use_raw_syscalls() ? (int)syscall(SYS_close, fd) : close(fd); }

#endif
