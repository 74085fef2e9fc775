/*
 * The descriptors that an environment owns, and which of them are shared with other code.
 *
 * An environment owns the descriptors that it created, received or adopted. They are closed when the environment ends.
 *
 * A descriptor is shared if other code may use it: it was created elsewhere or duplicated, or JavaScript has requested
 * its number. Other code may also close the number, and then the kernel may give the number to another file. So close()
 * compares the identity of the file first.
 *
 * O_NONBLOCK belongs to the open file description. A child process, or the receiver of a passed descriptor, can clear
 * it for all users of the description. The addon does not set it again, because the other process may rely on a
 * blocking descriptor. So every call that sends or receives passes MSG_DONTWAIT. accept4(2), connect(2), sendfile(2)
 * and splice(2) have no such flag. On a blocking descriptor the addon copies the bytes with other calls, or the alarm
 * interrupts the call (alarm.c).
 */
#include "addon.h"
#include "syscalls.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool grow_array(struct u64_array *array, size_t index) {
  if (index < array->length) return true;
  size_t length = array->length == 0 ? 16 : array->length;
  while (length <= index) length *= 2;
  uint64_t *items = realloc(array->items, length * sizeof *items);
  if (items == NULL) return false;
  memset(items + array->length, 0, (length - array->length) * sizeof *items);
  array->items = items;
  array->length = length;
  return true;
}

int own(struct addon *addon, int fd) {
  if (!grow_array(&addon->owned, (size_t)fd / 64)) return -ENOMEM;
  addon->owned.items[fd / 64] |= UINT64_C(1) << (fd % 64);
  /* `shared` may still have an earlier descriptor with this number, which other code has closed. */
  if (is_shared(addon, fd)) addon->shared.items[fd] = 0;
  return fd;
}

int own_new(struct addon *addon, int fd) {
  int result = own(addon, fd);
  if (result < 0) close(fd);
  return result;
}

int own_new_pair(struct addon *addon, const int fds[2]) {
  if (own_new(addon, fds[0]) < 0) {
    close(fds[1]);
    return -ENOMEM;
  }
  if (own_new(addon, fds[1]) < 0) {
    disown(addon, fds[0]);
    close(fds[0]);
    return -ENOMEM;
  }
  return 0;
}

bool owns(const struct addon *addon, int fd) {
  if (fd < 0 || (size_t)fd / 64 >= addon->owned.length) return false;
  return (addon->owned.items[fd / 64] >> (fd % 64)) & 1;
}

void disown(struct addon *addon, int fd) {
  if (owns(addon, fd)) addon->owned.items[fd / 64] &= ~(UINT64_C(1) << (fd % 64));
  if (is_shared(addon, fd)) addon->shared.items[fd] = 0;
}

void close_owned(struct addon *addon) {
  for (size_t word = 0; word < addon->owned.length; word++) {
    while (addon->owned.items[word] != 0) {
      int bit = __builtin_ctzll(addon->owned.items[word]);
      addon->owned.items[word] &= addon->owned.items[word] - 1; /* clears this bit, the lowest */
      int fd = (int)(word * 64) + bit;
      if (!is_replaced(addon, fd)) close(fd);
    }
  }
}

/*
 * Returns the identity of the file of a descriptor: 52 bits made of device and inode, which a JavaScript number can
 * hold. Each socket has its own inode (sockfs). Returns 0 if no descriptor with this number is open.
 */
static uint64_t get_identity(int fd) {
  struct stat status;
  if (fstat(fd, &status) < 0) return 0;
  uint64_t identity = (((uint64_t)status.st_dev << 40) ^ (uint64_t)status.st_ino) & ((UINT64_C(1) << 52) - 1);
  return identity == 0 ? 1 : identity;
}

int64_t mark_shared(struct addon *addon, int fd) {
  uint64_t identity = owns(addon, fd) ? get_identity(fd) : 0;
  if (identity == 0) return -EBADF;
  if (!grow_array(&addon->shared, (size_t)fd)) return -ENOMEM;
  addon->shared.items[fd] = identity;
  return (int64_t)identity;
}

bool has_identity(int fd, int64_t identity) { return get_identity(fd) == (uint64_t)identity; }

bool is_replaced(const struct addon *addon, int fd) {
  return is_shared(addon, fd) && get_identity(fd) != addon->shared.items[fd];
}

bool is_blocking(int fd) {
  int flags = fcntl(fd, F_GETFL);
  return flags >= 0 && !(flags & O_NONBLOCK);
}

bool is_ready(int fd, short events) {
  struct pollfd entry = {.fd = fd, .events = events};
  return poll(&entry, 1, 0) != 0;
}

void free_shared(struct addon *addon) {
  free(addon->shared.items);
  addon->shared = (struct u64_array){0};
}

/*
 * Returns 0 if the environment owns fd and the number still belongs to the same file, otherwise -EBADF. Other code can
 * close a shared descriptor. Then the number may belong to another file, and this function ends the ownership.
 *
 * The number may also belong to another socket of this environment now. To detect this case, the caller passes
 * `identity`, the result of share(). With identity 0, this case is not detected.
 */
static int check_owned(struct addon *addon, int fd, int64_t identity) {
  if (!owns(addon, fd)) return -EBADF;
  if (is_replaced(addon, fd)) {
    disown(addon, fd);
    return -EBADF;
  }
  return identity > 0 && !has_identity(fd, identity) ? -EBADF : 0;
}

/*
 * close(fd, identity = any): closes a descriptor that check_owned() accepts. Linux releases the descriptor even when
 * close(2) returns EINTR, so the call is not repeated.
 */
static napi_value call_close(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t fd;
  int64_t identity = 0;
  struct addon *addon = get_addon(env);
  if (addon == NULL || !read_args(env, info, 1, &args) || !arg_i32(&args, 0, &fd) ||
      (args.count > 1 && !arg_offset(&args, 1, &identity))) {
    return NULL;
  }
  int error = check_owned(addon, fd, identity);
  if (error < 0) return js_number(env, error);
  disown(addon, fd);
  return js_number(env, sys_close(fd) < 0 && errno != EINTR ? -errno : 0);
}

/*
 * release(fd, blocking = 0, identity = any): ends the ownership and leaves the descriptor open. If `blocking` is 1, the
 * call first clears O_NONBLOCK. If that fails, the environment still owns the descriptor.
 */
static napi_value call_release(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t fd, blocking = 0;
  int64_t identity = 0;
  struct addon *addon = get_addon(env);
  if (addon == NULL || !read_args(env, info, 1, &args) || !arg_i32(&args, 0, &fd) ||
      (args.count > 1 && !arg_i32(&args, 1, &blocking)) || (args.count > 2 && !arg_offset(&args, 2, &identity))) {
    return NULL;
  }
  int error = check_owned(addon, fd, identity);
  if (error < 0) return js_number(env, error);
  if (blocking) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0) return js_number(env, -errno);
  }
  disown(addon, fd);
  return js_number(env, 0);
}

/* Returns fd or -errno. */
static int adopt(struct addon *addon, int fd) {
  int type;
  socklen_t length = sizeof type;
  if (owns(addon, fd)) return -EBUSY;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) < 0) return -errno; /* EBADF, ENOTSOCK */
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) return -errno;
  int fdflags = fcntl(fd, F_GETFD);
  if (fdflags < 0 || fcntl(fd, F_SETFD, fdflags | FD_CLOEXEC) < 0) return -errno;
  int owned = own(addon, fd);
  if (owned < 0) return owned;
  int64_t identity = mark_shared(addon, fd);
  if (identity < 0) disown(addon, fd);
  return identity < 0 ? (int)identity : fd;
}

/*
 * adopt(fd): takes ownership of a socket that other code created. Makes it non-blocking and close-on-exec. EBUSY if the
 * environment owns it already.
 */
static napi_value call_adopt(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t fd;
  struct addon *addon = get_addon(env);
  if (addon == NULL || !read_args(env, info, 1, &args) || !arg_i32(&args, 0, &fd)) return NULL;
  return js_number(env, adopt(addon, fd));
}

/* dup(fd) -> fd, close-on-exec */
static napi_value call_dup(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t fd;
  struct addon *addon = get_addon(env);
  if (addon == NULL || !read_args(env, info, 1, &args) || !arg_i32(&args, 0, &fd)) return NULL;
  int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) return js_number(env, -errno);
  if (own_new(addon, copy) < 0) return js_number(env, -ENOMEM);
  /* If `fd` belongs to a connection of node:net, the environment does not own `fd`. */
  if ((owns(addon, fd) && mark_shared(addon, fd) < 0) || mark_shared(addon, copy) < 0) {
    disown(addon, copy);
    close(copy);
    return js_number(env, -ENOMEM);
  }
  return js_number(env, copy);
}

/* share(fd): records the descriptor as shared -> identity of its file, which close() compares */
static napi_value call_share(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t fd;
  struct addon *addon = get_addon(env);
  if (addon == NULL || !read_args(env, info, 1, &args) || !arg_i32(&args, 0, &fd)) return NULL;
  return js_number(env, mark_shared(addon, fd));
}

bool init_descriptors(napi_env env, napi_value exports) {
  static const struct exported_function functions[] = {
      {"close", call_close}, {"release", call_release}, {"adopt", call_adopt}, {"dup", call_dup}, {"share", call_share},
  };
  return EXPORT_FUNCTIONS(env, exports, functions);
}
