/*
 * The calls that send and receive: one buffer, one buffer with an address, or a message. All pass MSG_DONTWAIT to the
 * kernel, because other processes can make the descriptor blocking; descriptors.c.
 */
#include "addon.h"
#include "syscalls.h"

#include <limits.h>
#include <stdalign.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

/*
 * recv(fd, view, length = length of the view, flags = 0): receives at most `length` bytes to the start of the view.
 *
 * recv and send have optional arguments to save time: a server makes these calls most often, and each argument that the
 * caller omits need not be read. The caller passes both optional arguments or none.
 */
static napi_value call_recv(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t fd, flags = 0;
  uint8_t *data;
  size_t size;
  if (!read_args(env, info, 2, &args) || !arg_i32(&args, 0, &fd) || !arg_bytes(&args, 1, &data, &size)) return NULL;
  if (args.count > 2) {
    uint32_t length;
    if (!arg_u32(&args, 2, &length) || !arg_i32(&args, 3, &flags)) return NULL;
    if (length < size) size = length;
  }
  return js_number(env, result_or_errno(sys_recv(fd, data, size, flags | MSG_DONTWAIT)));
}

/*
 * recvAt(fd, view, offset, length): receives at most `length` bytes to `offset` of the view. For callers that fill one
 * view with several calls.
 */
static napi_value call_recv_at(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t fd;
  uint32_t offset, length;
  uint8_t *data;
  size_t size;
  if (!read_args(env, info, 4, &args) || !arg_i32(&args, 0, &fd) || !arg_bytes(&args, 1, &data, &size) ||
      !arg_u32(&args, 2, &offset) || !arg_u32(&args, 3, &length)) {
    return NULL;
  }
  if (offset > size) offset = (uint32_t)size;
  if (length > size - offset) length = (uint32_t)(size - offset);
  return js_number(env, result_or_errno(sys_recv(fd, data + offset, length, MSG_DONTWAIT)));
}

/* send(fd, view, offset = 0, flags = 0): sends the bytes of the view from `offset` on. */
static napi_value call_send(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t fd, flags = 0;
  int64_t offset = 0;
  uint8_t *data;
  size_t size;
  if (!read_args(env, info, 2, &args) || !arg_i32(&args, 0, &fd) || !arg_bytes(&args, 1, &data, &size)) return NULL;
  if (args.count > 2) {
    /* A view can be longer than 2^32 bytes. */
    if (!arg_offset(&args, 2, &offset) || !arg_i32(&args, 3, &flags)) return NULL;
    if ((uint64_t)offset > size) offset = (int64_t)size;
  }
  return js_number(env,
                   result_or_errno(sys_send(fd, data + offset, size - offset, flags | MSG_DONTWAIT | MSG_NOSIGNAL)));
}

/*
 * If the sender is a UNIX socket without a name, recvfrom(2) stores no address. getpeername(2) and accept(2) store the
 * family in that case. This function stores the family too, so that all three calls return the same address.
 */
static void set_unix_family(int fd, struct sockaddr_storage *address, socklen_t *length) {
  int family;
  socklen_t size = sizeof family;
  if (*length > 0 || getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size) < 0 || family != AF_UNIX) return;
  address->ss_family = AF_UNIX;
  *length = sizeof address->ss_family;
}

/*
 * recvfrom(fd, view, length, flags, buffer): like recv, and stores the sender's address in `buffer`. With MSG_TRUNC in
 * `flags` the result can be larger than the number of stored bytes.
 */
static napi_value call_recvfrom(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t fd, flags;
  uint32_t length;
  uint8_t *data, *buffer;
  size_t size;
  if (!read_args(env, info, 5, &args) || !arg_i32(&args, 0, &fd) || !arg_bytes(&args, 1, &data, &size) ||
      !arg_u32(&args, 2, &length) || !arg_i32(&args, 3, &flags) || !arg_address_buffer(&args, 4, &buffer, NULL)) {
    return NULL;
  }
  if (length > size) length = (uint32_t)size;
  struct sockaddr_storage address;
  socklen_t address_length = sizeof address;
  ssize_t count = recvfrom(fd, data, length, flags | MSG_DONTWAIT, (struct sockaddr *)&address, &address_length);
  if (count < 0) return js_number(env, -errno);
  set_unix_family(fd, &address, &address_length);
  write_address(buffer, &address, address_length);
  return js_number(env, count);
}

/* sendto(fd, view, flags, address) */
static napi_value call_sendto(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t fd, flags;
  uint8_t *data;
  size_t size;
  const struct sockaddr *address;
  socklen_t address_length;
  if (!read_args(env, info, 4, &args) || !arg_i32(&args, 0, &fd) || !arg_bytes(&args, 1, &data, &size) ||
      !arg_i32(&args, 2, &flags) || !arg_address(&args, 3, &address, &address_length)) {
    return NULL;
  }
  return js_number(
      env, result_or_errno(sendto(fd, data, size, flags | MSG_DONTWAIT | MSG_NOSIGNAL, address, address_length)));
}

/* Stores an array of at most IOV_MAX views as an array of struct iovec, without the first `skip` bytes of the views. */
static bool arg_iovec(const struct args *args, size_t index, int64_t skip, struct iovec *iov, size_t *count) {
  uint32_t length;
  bool is_array = false;
  if (index >= args->count || napi_is_array(args->env, args->values[index], &is_array) != napi_ok || !is_array ||
      napi_get_array_length(args->env, args->values[index], &length) != napi_ok) {
    napi_throw_type_error(args->env, NULL,
                          "Cannot make a native call: argument is not an array, required an array of Uint8Array");
    return false;
  }
  if (length > IOV_MAX) {
    napi_throw_range_error(args->env, NULL,
                           "Cannot make a native call: array is too long, required at most IOV_MAX views");
    return false;
  }
  /* All elements are read before any pointer: an element may be a getter, which can detach earlier views. */
  napi_value items[IOV_MAX];
  for (uint32_t i = 0; i < length; i++) {
    if (napi_get_element(args->env, args->values[index], i, &items[i]) != napi_ok) return false;
  }
  *count = 0;
  for (uint32_t i = 0; i < length; i++) {
    uint8_t *data;
    size_t size;
    if (!value_bytes(args->env, items[i], &data, &size)) return false;
    if (skip >= (int64_t)size) {
      skip -= (int64_t)size;
      continue;
    }
    iov[*count].iov_base = data + skip;
    iov[*count].iov_len = size - (size_t)skip;
    skip = 0;
    (*count)++;
  }
  return true;
}

static bool is_absent(napi_env env, const struct args *args, size_t index) {
  napi_valuetype type;
  return index >= args->count || napi_typeof(env, args->values[index], &type) != napi_ok || type == napi_null ||
         type == napi_undefined;
}

/*
 * sendmsg(fd, views, skip, flags, address | null, control | null): sends the bytes of all views without the first
 * `skip` bytes. `control` has the bytes of msg_control in the kernel's layout.
 */
static napi_value call_sendmsg(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t fd, flags;
  int64_t skip;
  size_t count;
  struct iovec iov[IOV_MAX];
  if (!read_args(env, info, 6, &args) || !arg_i32(&args, 0, &fd) || !arg_offset(&args, 2, &skip) ||
      !arg_iovec(&args, 1, skip, iov, &count) || !arg_i32(&args, 3, &flags)) {
    return NULL;
  }
  struct msghdr message = {.msg_iov = iov, .msg_iovlen = count};
  if (!is_absent(env, &args, 4)) {
    const struct sockaddr *address;
    if (!arg_address(&args, 4, &address, &message.msg_namelen)) return NULL;
    message.msg_name = (void *)address;
  }
  if (!is_absent(env, &args, 5)) {
    uint8_t *control;
    size_t size;
    if (!arg_bytes(&args, 5, &control, &size)) return NULL;
    if (size > INT_MAX) return js_number(env, -ENOBUFS);
    message.msg_control = control;
    message.msg_controllen = size;
  }
  return js_number(env, result_or_errno(sys_sendmsg(fd, &message, flags | MSG_DONTWAIT | MSG_NOSIGNAL)));
}

/*
 * Takes ownership of the descriptors in the control data of a message. Must follow every successful recvmsg(2) with
 * control data, because the descriptors would leak otherwise. Closes a descriptor that it cannot record, and stores -1
 * in its place.
 */
static void own_received(struct addon *addon, struct msghdr *message) {
  uint8_t *end = (uint8_t *)message->msg_control + message->msg_controllen;
  for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control != NULL; control = next_control(message, control)) {
    if (control->cmsg_len < CMSG_LEN(0)) return;
    if (!carries_descriptors(control)) continue;
    uint8_t *data = CMSG_DATA(control);
    size_t length = control->cmsg_len - CMSG_LEN(0);
    if (length > (size_t)(end - data)) length = (size_t)(end - data);
    for (size_t at = 0; at + sizeof(int) <= length; at += sizeof(int)) {
      int fd;
      memcpy(&fd, data + at, sizeof fd);
      if (fd < 0 || own_new(addon, fd) >= 0) continue;
      fd = -1;
      memcpy(data + at, &fd, sizeof fd);
    }
  }
}

bool refuses_cloexec(int fd) {
  int error = errno, family;
  socklen_t length = sizeof family;
  bool refused = error == EINVAL && getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &length) == 0 && family == AF_PACKET;
  errno = error;
  return refused;
}

/*
 * recvmsg(fd, views, flags, address buffer | null, control | null, out): receives into the views in order. `out` gets
 * two 32-bit numbers, 8 bytes: the length of the control data and the flags of the message. Received descriptors are
 * close-on-exec and owned by the environment. The control view must be aligned for struct cmsghdr.
 */
static napi_value call_recvmsg(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t fd, flags;
  uint8_t *buffer = NULL, *out;
  size_t out_size;
  struct sockaddr_storage address;
  size_t iov_count;
  struct iovec iov[IOV_MAX];
  struct addon *addon = get_addon(env);
  if (addon == NULL || !read_args(env, info, 6, &args) || !arg_i32(&args, 0, &fd) ||
      !arg_iovec(&args, 1, 0, iov, &iov_count) || !arg_i32(&args, 2, &flags) || !arg_bytes(&args, 5, &out, &out_size)) {
    return NULL;
  }
  struct msghdr message = {.msg_iov = iov, .msg_iovlen = iov_count};
  uint32_t results[2];
  if (out_size < sizeof results) {
    napi_throw_range_error(env, NULL, "Cannot call recvmsg: result view is too short, required 8 bytes");
    return NULL;
  }
  if (!is_absent(env, &args, 3)) {
    if (!arg_address_buffer(&args, 3, &buffer, NULL)) return NULL;
    message.msg_name = &address;
    message.msg_namelen = sizeof address;
  }
  if (!is_absent(env, &args, 4)) {
    uint8_t *control;
    size_t size;
    if (!arg_bytes(&args, 4, &control, &size)) return NULL;
    if ((uintptr_t)control % alignof(struct cmsghdr) != 0) {
      napi_throw_range_error(
          env, NULL, "Cannot call recvmsg: control view is not aligned, required the alignment of struct cmsghdr");
      return NULL;
    }
    message.msg_control = control;
    message.msg_controllen = size < INT_MAX ? size : INT_MAX;
  }
  ssize_t count = recvmsg(fd, &message, flags | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (count < 0 && refuses_cloexec(fd)) count = recvmsg(fd, &message, flags | MSG_DONTWAIT);
  if (count < 0) return js_number(env, -errno);
  own_received(addon, &message);
  if (buffer != NULL) write_address(buffer, &address, message.msg_namelen);
  results[0] = (uint32_t)message.msg_controllen;
  results[1] = (uint32_t)message.msg_flags;
  memcpy(out, results, sizeof results);
  return js_number(env, count);
}

/*
 * inq(fd): number of bytes that the next read of a stream socket can return. A read stops at an urgent mark. ioctl(2)
 * with SIOCINQ, which is the same number as FIONREAD; tcp(7), unix(7).
 */
static napi_value call_inq(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t fd;
  int count = 0;
  if (!read_args(env, info, 1, &args) || !arg_i32(&args, 0, &fd)) return NULL;
  return js_number(env, ioctl(fd, FIONREAD, &count) < 0 ? -errno : count);
}

/* outq(fd): number of bytes in the send queue. SIOCOUTQ is the same number as TIOCOUTQ; tcp(7), udp(7), unix(7). */
static napi_value call_outq(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t fd;
  int count = 0;
  if (!read_args(env, info, 1, &args) || !arg_i32(&args, 0, &fd)) return NULL;
  return js_number(env, ioctl(fd, TIOCOUTQ, &count) < 0 ? -errno : count);
}

bool init_sendrecv(napi_env env, napi_value exports) {
  static const struct exported_function functions[] = {
      {"recv", call_recv},     {"recvAt", call_recv_at},  {"send", call_send},       {"recvfrom", call_recvfrom},
      {"sendto", call_sendto}, {"sendmsg", call_sendmsg}, {"recvmsg", call_recvmsg}, {"inq", call_inq},
      {"outq", call_outq},
  };
  return EXPORT_FUNCTIONS(env, exports, functions);
}
