/* The calls that make, name, connect and end a socket. */
#include "addon.h"
#include "direct.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define BIRTH_FLAGS (SOCK_NONBLOCK | SOCK_CLOEXEC)

/* socket(family, type, protocol) -> fd */
static napi_value call_socket(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t family, type, protocol;
  struct addon *addon = addon_of(env);
  if (addon == NULL || !read_args(env, info, 3, &args) || !arg_i32(&args, 0, &family) || !arg_i32(&args, 1, &type) ||
      !arg_i32(&args, 2, &protocol)) {
    return NULL;
  }
  int fd = socket(family, type | BIRTH_FLAGS, protocol);
  return number(env, fd < 0 ? -errno : own_new(addon, fd));
}

/* socketpair(family, type, protocol, room for two numbers as 8 bytes) */
static napi_value call_socketpair(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t family, type, protocol;
  uint8_t *room;
  size_t size;
  struct addon *addon = addon_of(env);
  if (addon == NULL || !read_args(env, info, 4, &args) || !arg_i32(&args, 0, &family) || !arg_i32(&args, 1, &type) ||
      !arg_i32(&args, 2, &protocol) || !arg_bytes(&args, 3, &room, &size)) {
    return NULL;
  }
  int pair[2];
  if (size < sizeof pair) {
    napi_throw_range_error(env, NULL, "socketpair takes room for two descriptors");
    return NULL;
  }
  if (socketpair(family, type | BIRTH_FLAGS, protocol, pair) < 0) return number(env, -errno);
  if (own_new(addon, pair[0]) < 0) {
    close(pair[1]);
    return number(env, -ENOMEM);
  }
  if (own_new(addon, pair[1]) < 0) {
    disown(addon, pair[0]);
    close(pair[0]);
    return number(env, -ENOMEM);
  }
  memcpy(room, pair, sizeof pair);
  return number(env, 0);
}

/* accept4(2) on a blocking descriptor that others may accept from as well: see shared.c. */
static int accept_blocking(struct addon *addon, int fd, struct sockaddr *address, socklen_t *length) {
  int listens = 0;
  socklen_t size = sizeof listens;
  if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens && !is_ready(fd, POLLIN)) {
    errno = EAGAIN;
    return -1;
  }
  int error = begin_alarm(addon);
  if (error < 0) {
    errno = -error;
    return -1;
  }
  int accepted = direct_accept4(fd, address, length, BIRTH_FLAGS);
  end_alarm(addon);
  /* Another signal may have interrupted it while there is a connection, for which no further event comes. */
  if (accepted < 0 && errno == EINTR) errno = is_ready(fd, POLLIN) ? EINTR : EAGAIN;
  return accepted;
}

/* accept(fd, room for the peer's address) -> fd */
static napi_value call_accept(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t fd;
  uint8_t *room;
  struct addon *addon = addon_of(env);
  if (addon == NULL || !read_args(env, info, 2, &args) || !arg_i32(&args, 0, &fd) ||
      !arg_address_room(&args, 1, &room)) {
    return NULL;
  }
  struct sockaddr_storage address;
  socklen_t length = sizeof address;
  struct sockaddr *peer = (struct sockaddr *)&address;
  int accepted =
      may_wait(addon, fd) ? accept_blocking(addon, fd, peer, &length) : direct_accept4(fd, peer, &length, BIRTH_FLAGS);
  if (accepted < 0) return number(env, -errno);
  put_address(room, &address, length);
  return number(env, own_new(addon, accepted));
}

typedef int naming_call(int fd, const struct sockaddr *address, socklen_t length);

static napi_value give_address(napi_env env, napi_callback_info info, naming_call *call) {
  struct args args;
  int32_t fd;
  const struct sockaddr *address;
  socklen_t length;
  if (!read_args(env, info, 2, &args) || !arg_i32(&args, 0, &fd) || !arg_address(&args, 1, &address, &length)) {
    return NULL;
  }
  return number(env, outcome(call(fd, address, length)));
}

/* bind(fd, address) */
static napi_value call_bind(napi_env env, napi_callback_info info) { return give_address(env, info, bind); }

/*
 * connect(2) on a blocking descriptor, with the results of a non-blocking one. A stream socket that is neither readable nor writable
 * nor hung up is being connected, unless it listens.
 */
static int connect_blocking(struct addon *addon, int fd, const struct sockaddr *address, socklen_t size) {
  int type = 0, listens = 0;
  socklen_t length = sizeof type;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) < 0) return -1;
  length = sizeof listens;
  if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) < 0) listens = 0;
  if (type == SOCK_STREAM && !listens && !is_ready(fd, POLLIN | POLLOUT)) {
    errno = EALREADY;
    return -1;
  }
  int error = begin_alarm(addon);
  if (error < 0) {
    errno = -error;
    return -1;
  }
  int result = direct_connect(fd, address, size);
  end_alarm(addon);
  if (result < 0 && errno == EINTR) errno = address->sa_family == AF_UNIX ? EAGAIN : EINPROGRESS;
  return result;
}

/* connect(fd, address) */
static napi_value call_connect(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t fd;
  const struct sockaddr *address;
  socklen_t length;
  struct addon *addon = addon_of(env);
  if (addon == NULL || !read_args(env, info, 2, &args) || !arg_i32(&args, 0, &fd) ||
      !arg_address(&args, 1, &address, &length)) {
    return NULL;
  }
  return number(env, outcome(may_wait(addon, fd) ? connect_blocking(addon, fd, address, length)
                                                 : direct_connect(fd, address, length)));
}

typedef int asking_call(int fd, struct sockaddr *address, socklen_t *length);

static napi_value ask_address(napi_env env, napi_callback_info info, asking_call *call) {
  struct args args;
  int32_t fd;
  uint8_t *room;
  if (!read_args(env, info, 2, &args) || !arg_i32(&args, 0, &fd) || !arg_address_room(&args, 1, &room)) return NULL;
  struct sockaddr_storage address;
  socklen_t length = sizeof address;
  if (call(fd, (struct sockaddr *)&address, &length) < 0) return number(env, -errno);
  put_address(room, &address, length);
  return number(env, 0);
}

/* getsockname(fd, room) */
static napi_value call_getsockname(napi_env env, napi_callback_info info) {
  return ask_address(env, info, getsockname);
}

/* getpeername(fd, room) */
static napi_value call_getpeername(napi_env env, napi_callback_info info) {
  return ask_address(env, info, getpeername);
}

typedef int small_call(int fd, int value);

static napi_value small(napi_env env, napi_callback_info info, small_call *call) {
  struct args args;
  int32_t fd, value;
  if (!read_args(env, info, 2, &args) || !arg_i32(&args, 0, &fd) || !arg_i32(&args, 1, &value)) return NULL;
  return number(env, outcome(call(fd, value)));
}

/* listen(fd, backlog) */
static napi_value call_listen(napi_env env, napi_callback_info info) { return small(env, info, listen); }

/* shutdown(fd, how) */
static napi_value call_shutdown(napi_env env, napi_callback_info info) { return small(env, info, shutdown); }

/*
 * close(fd, file = any): only what this environment owns, and of shared descriptors only what is still the same socket, so that a number which
 * others closed and the kernel gave to another file is never closed by mistake. `file` is what share() said: another socket of ours may have the number by
 * now. Linux releases the descriptor even when close() says EINTR, so there is no second try.
 */
static napi_value call_close(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t fd;
  int64_t file = 0;
  struct addon *addon = addon_of(env);
  if (addon == NULL || !read_args(env, info, 1, &args) || !arg_i32(&args, 0, &fd) ||
      (args.count > 1 && !arg_offset(&args, 1, &file))) {
    return NULL;
  }
  if (!owns(addon, fd)) return number(env, -EBADF);
  bool other = replaced(addon, fd);
  if (file > 0 && !other && !is_file(fd, file)) return number(env, -EBADF);
  disown(addon, fd);
  if (other) return number(env, -EBADF);
  return number(env, direct_close(fd) < 0 && errno != EINTR ? -errno : 0);
}

/*
 * release(fd, blocking = 0, file = any): the descriptor stays open and is no longer ours; with `blocking` 1 O_NONBLOCK is
 * cleared first. It stays ours when that fails. `file` is as for close().
 */
static napi_value call_release(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t fd, blocking = 0;
  int64_t file = 0;
  struct addon *addon = addon_of(env);
  if (addon == NULL || !read_args(env, info, 1, &args) || !arg_i32(&args, 0, &fd) ||
      (args.count > 1 && !arg_i32(&args, 1, &blocking)) || (args.count > 2 && !arg_offset(&args, 2, &file))) {
    return NULL;
  }
  if (!owns(addon, fd)) return number(env, -EBADF);
  bool other = replaced(addon, fd);
  if (file > 0 && !other && !is_file(fd, file)) return number(env, -EBADF);
  if (other) {
    disown(addon, fd);
    return number(env, -EBADF);
  }
  if (blocking) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0) return number(env, -errno);
  }
  disown(addon, fd);
  return number(env, 0);
}

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
  int64_t file = share(addon, fd);
  if (file < 0) disown(addon, fd);
  return file < 0 ? (int)file : fd;
}

/* adopt(fd): a socket made elsewhere becomes ours, non-blocking and close-on-exec. EBUSY when it is ours already. */
static napi_value call_adopt(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t fd;
  struct addon *addon = addon_of(env);
  if (addon == NULL || !read_args(env, info, 1, &args) || !arg_i32(&args, 0, &fd)) return NULL;
  return number(env, adopt(addon, fd));
}

/* dup(fd) -> fd, close-on-exec */
static napi_value call_dup(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t fd;
  struct addon *addon = addon_of(env);
  if (addon == NULL || !read_args(env, info, 1, &args) || !arg_i32(&args, 0, &fd)) return NULL;
  int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) return number(env, -errno);
  if (own_new(addon, copy) < 0) return number(env, -ENOMEM);
  /* The original is a foreign one where a connection is taken over from node:net. */
  if ((owns(addon, fd) && share(addon, fd) < 0) || share(addon, copy) < 0) {
    disown(addon, copy);
    close(copy);
    return number(env, -ENOMEM);
  }
  return number(env, copy);
}

bool init_lifecycle(napi_env env, napi_value exports) {
  static const struct entry entries[] = {
      {"socket", call_socket},
      {"socketpair", call_socketpair},
      {"accept", call_accept},
      {"bind", call_bind},
      {"connect", call_connect},
      {"getsockname", call_getsockname},
      {"getpeername", call_getpeername},
      {"listen", call_listen},
      {"shutdown", call_shutdown},
      {"close", call_close},
      {"release", call_release},
      {"adopt", call_adopt},
      {"dup", call_dup},
  };
  return EXPORT_ALL(env, exports, entries);
}
