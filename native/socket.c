/* The calls that create, bind, connect, accept and shut down sockets. */
#include "addon.h"
#include "syscalls.h"

#include <poll.h>
#include <string.h>

#define NEW_SOCKET_FLAGS (SOCK_NONBLOCK | SOCK_CLOEXEC)

/* socket(family, type, protocol) -> fd */
static napi_value call_socket(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t family, type, protocol;
  struct addon *addon = get_addon(env);
  if (addon == NULL || !read_args(env, info, 3, &args) || !arg_i32(&args, 0, &family) || !arg_i32(&args, 1, &type) ||
      !arg_i32(&args, 2, &protocol)) {
    return NULL;
  }
  int fd = socket(family, type | NEW_SOCKET_FLAGS, protocol);
  return js_number(env, fd < 0 ? -errno : own_new(addon, fd));
}

/* socketpair(family, type, protocol, buffer for two descriptors, 8 bytes) */
static napi_value call_socketpair(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t family, type, protocol;
  uint8_t *buffer;
  size_t size;
  struct addon *addon = get_addon(env);
  if (addon == NULL || !read_args(env, info, 4, &args) || !arg_i32(&args, 0, &family) || !arg_i32(&args, 1, &type) ||
      !arg_i32(&args, 2, &protocol) || !arg_bytes(&args, 3, &buffer, &size)) {
    return NULL;
  }
  int pair[2];
  if (size < sizeof pair) {
    napi_throw_range_error(env, NULL, "Cannot call socketpair: view is too short, required 8 bytes");
    return NULL;
  }
  if (socketpair(family, type | NEW_SOCKET_FLAGS, protocol, pair) < 0) return js_number(env, -errno);
  int error = own_new_pair(addon, pair);
  if (error < 0) return js_number(env, error);
  memcpy(buffer, pair, sizeof pair);
  return js_number(env, 0);
}

/*
 * accept4(2) on a blocking descriptor. The call can block although poll(2) has reported a connection, if another
 * process accepts that connection first. Then the alarm interrupts the call (alarm.c).
 */
static int accept_blocking(struct addon *addon, int fd, struct sockaddr *address, socklen_t *length) {
  int listening = 0;
  socklen_t size = sizeof listening;
  if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening && !is_ready(fd, POLLIN)) {
    errno = EAGAIN;
    return -1;
  }
  if (start_alarm(addon) < 0) return -1;
  int accepted = sys_accept4(fd, address, length, NEW_SOCKET_FLAGS);
  stop_alarm(addon);
  /*
   * The alarm or another signal interrupted the call. EAGAIN would be wrong while a connection is in the accept queue:
   * the caller would wait for an event that the kernel does not report again. EINTR makes the caller repeat the call.
   */
  if (accepted < 0 && errno == EINTR) errno = is_ready(fd, POLLIN) ? EINTR : EAGAIN;
  return accepted;
}

/*
 * accept(fd, buffer for the peer's address, report empty = 0) -> fd
 *
 * With `report_empty` 1, the byte behind the address becomes 1 if the accept queue is empty now, otherwise 0. poll(2)
 * costs less than an accept4(2) on an empty queue, which allocates a socket before it checks the queue.
 */
static napi_value call_accept(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t fd, report_empty = 0;
  uint8_t *buffer;
  size_t size;
  struct addon *addon = get_addon(env);
  if (addon == NULL || !read_args(env, info, 2, &args) || !arg_i32(&args, 0, &fd) ||
      !arg_address_buffer(&args, 1, &buffer, &size) || (args.count > 2 && !arg_i32(&args, 2, &report_empty))) {
    return NULL;
  }
  struct sockaddr_storage address;
  socklen_t length = sizeof address;
  struct sockaddr *peer = (struct sockaddr *)&address;
  int accepted = may_block(addon, fd) ? accept_blocking(addon, fd, peer, &length)
                                      : sys_accept4(fd, peer, &length, NEW_SOCKET_FLAGS);
  if (accepted < 0) return js_number(env, -errno);
  write_address(buffer, &address, length);
  if (report_empty && size > ADDRESS_BUFFER_SIZE) buffer[ADDRESS_BUFFER_SIZE] = is_ready(fd, POLLIN) ? 0 : 1;
  return js_number(env, own_new(addon, accepted));
}

typedef int address_call(int fd, const struct sockaddr *address, socklen_t length);

/* Makes a call with the arguments (fd, address). */
static napi_value pass_address(napi_env env, napi_callback_info info, address_call *call) {
  struct args args;
  int32_t fd;
  const struct sockaddr *address;
  socklen_t length;
  if (!read_args(env, info, 2, &args) || !arg_i32(&args, 0, &fd) || !arg_address(&args, 1, &address, &length)) {
    return NULL;
  }
  return js_number(env, result_or_errno(call(fd, address, length)));
}

/* bind(fd, address) */
static napi_value call_bind(napi_env env, napi_callback_info info) { return pass_address(env, info, bind); }

/*
 * connect(2) on a blocking descriptor. Returns the same results as on a non-blocking one. A stream socket is connecting
 * if it is not listening and poll(2) reports no event for it.
 */
static int connect_blocking(struct addon *addon, int fd, const struct sockaddr *address, socklen_t size) {
  int type = 0, listening = 0;
  socklen_t length = sizeof type;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) < 0) return -1;
  length = sizeof listening;
  if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) < 0) listening = 0;
  if (type == SOCK_STREAM && !listening && !is_ready(fd, POLLIN | POLLOUT)) {
    errno = EALREADY;
    return -1;
  }
  if (start_alarm(addon) < 0) return -1;
  int result = sys_connect(fd, address, size);
  stop_alarm(addon);
  /*
   * On a UNIX socket connect(2) blocks while the accept queue is full. On a non-blocking descriptor it would fail with
   * EAGAIN.
   */
  if (result < 0 && errno == EINTR) errno = address->sa_family == AF_UNIX ? EAGAIN : EINPROGRESS;
  return result;
}

/* connect(fd, address) */
static napi_value call_connect(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t fd;
  const struct sockaddr *address;
  socklen_t length;
  struct addon *addon = get_addon(env);
  if (addon == NULL || !read_args(env, info, 2, &args) || !arg_i32(&args, 0, &fd) ||
      !arg_address(&args, 1, &address, &length)) {
    return NULL;
  }
  return js_number(env, result_or_errno(may_block(addon, fd) ? connect_blocking(addon, fd, address, length)
                                                             : sys_connect(fd, address, length)));
}

typedef int address_getter(int fd, struct sockaddr *address, socklen_t *length);

/* Makes a call with the arguments (fd, address buffer), which writes an address to the buffer. */
static napi_value get_address(napi_env env, napi_callback_info info, address_getter *call) {
  struct args args;
  int32_t fd;
  uint8_t *buffer;
  if (!read_args(env, info, 2, &args) || !arg_i32(&args, 0, &fd) || !arg_address_buffer(&args, 1, &buffer, NULL)) {
    return NULL;
  }
  struct sockaddr_storage address;
  socklen_t length = sizeof address;
  if (call(fd, (struct sockaddr *)&address, &length) < 0) return js_number(env, -errno);
  write_address(buffer, &address, length);
  return js_number(env, 0);
}

/* getsockname(fd, buffer) */
static napi_value call_getsockname(napi_env env, napi_callback_info info) {
  return get_address(env, info, getsockname);
}

/* getpeername(fd, buffer) */
static napi_value call_getpeername(napi_env env, napi_callback_info info) {
  return get_address(env, info, getpeername);
}

typedef int int_call(int fd, int value);

/* Makes a call with the arguments (fd, integer). */
static napi_value pass_int(napi_env env, napi_callback_info info, int_call *call) {
  struct args args;
  int32_t fd, value;
  if (!read_args(env, info, 2, &args) || !arg_i32(&args, 0, &fd) || !arg_i32(&args, 1, &value)) return NULL;
  return js_number(env, result_or_errno(call(fd, value)));
}

/* listen(fd, backlog) */
static napi_value call_listen(napi_env env, napi_callback_info info) { return pass_int(env, info, listen); }

/* shutdown(fd, how) */
static napi_value call_shutdown(napi_env env, napi_callback_info info) { return pass_int(env, info, shutdown); }

bool init_socket(napi_env env, napi_value exports) {
  static const struct exported_function functions[] = {
      {"socket", call_socket},           {"socketpair", call_socketpair},
      {"accept", call_accept},           {"bind", call_bind},
      {"connect", call_connect},         {"getsockname", call_getsockname},
      {"getpeername", call_getpeername}, {"listen", call_listen},
      {"shutdown", call_shutdown},
  };
  return EXPORT_FUNCTIONS(env, exports, functions);
}
