/* Moving bytes inside the kernel: sendfile(2), and splice(2) from a socket through a pipe to a socket. */
#include "addon.h"
#include "syscalls.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Replaces sendfile(2) on a blocking socket, on which sendfile(2) could block; descriptors.c. Copies bytes of the file
 * and returns the number of bytes sent, or -errno.
 */
static int64_t copy_file(int out, int in, off_t offset, uint32_t count) {
  uint8_t bytes[1 << 16];
  int64_t moved = 0;
  while (moved < count) {
    size_t left = (size_t)(count - moved), requested = left < sizeof bytes ? left : sizeof bytes;
    ssize_t received = pread(in, bytes, requested, offset + moved);
    if (received <= 0) return moved > 0 ? moved : result_or_errno(received);
    ssize_t sent = sys_send(out, bytes, (size_t)received, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) return moved > 0 ? moved : -errno;
    moved += sent;
    if (sent < received) break;
  }
  return moved;
}

/* sendfile(out, in, offset, count) -> bytes sent, 0 at the end of the file. Does not change the offset of the file. */
static napi_value call_sendfile(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t out, in;
  int64_t offset;
  uint32_t count;
  struct addon *addon = get_addon(env);
  if (addon == NULL || !read_args(env, info, 4, &args) || !arg_i32(&args, 0, &out) || !arg_i32(&args, 1, &in) ||
      !arg_offset(&args, 2, &offset) || !arg_u32(&args, 3, &count)) {
    return NULL;
  }
  if (may_block(addon, out)) return js_number(env, copy_file(out, in, offset, count));
  off_t at = offset;
  return js_number(env, result_or_errno(sendfile(out, in, &at, count)));
}

/*
 * fileSize(fd): the size of a regular file, 0 for a block device. EINVAL for any other file, because sendfile(2) could
 * block on it.
 */
static napi_value call_file_size(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t fd;
  struct stat status;
  if (!read_args(env, info, 1, &args) || !arg_i32(&args, 0, &fd)) return NULL;
  if (fstat(fd, &status) < 0) return js_number(env, -errno);
  if (S_ISREG(status.st_mode)) return js_number(env, status.st_size);
  return js_number(env, S_ISBLK(status.st_mode) ? 0 : -EINVAL);
}

/*
 * pipe(size, buffer for two descriptors, 8 bytes) -> capacity of the pipe in bytes. The read end comes first in the
 * buffer. The kernel rounds the size up. If the kernel refuses the size (pipe(7), "pipe-user-pages-soft"), the pipe
 * keeps its default capacity.
 */
static napi_value call_pipe(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t size;
  uint8_t *buffer;
  size_t buffer_size;
  struct addon *addon = get_addon(env);
  if (addon == NULL || !read_args(env, info, 2, &args) || !arg_i32(&args, 0, &size) ||
      !arg_bytes(&args, 1, &buffer, &buffer_size)) {
    return NULL;
  }
  int ends[2];
  if (buffer_size < sizeof ends) {
    napi_throw_range_error(env, NULL, "Cannot call pipe: view is too short, required 8 bytes");
    return NULL;
  }
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) return js_number(env, -errno);
  int capacity = fcntl(ends[1], F_SETPIPE_SZ, size);
  if (capacity < 0) capacity = fcntl(ends[1], F_GETPIPE_SZ);
  if (capacity < 0) {
    int error = errno;
    close(ends[0]);
    close(ends[1]);
    return js_number(env, -error);
  }
  int error = own_new_pair(addon, ends);
  if (error < 0) return js_number(env, error);
  memcpy(buffer, ends, sizeof ends);
  return js_number(env, capacity);
}

/* Copies from a socket to a pipe. MSG_PEEK leaves the bytes in the socket until the pipe has them. */
static ssize_t copy_to_pipe(int in, int out, size_t count) {
  uint8_t bytes[SPLICE_THRESHOLD];
  ssize_t moved = recv(in, bytes, count < SPLICE_THRESHOLD ? count : SPLICE_THRESHOLD, MSG_PEEK | MSG_DONTWAIT);
  if (moved <= 0) return moved;
  moved = write(out, bytes, (size_t)moved);
  return moved <= 0 ? moved : recv(in, bytes, (size_t)moved, MSG_DONTWAIT);
}

/*
 * Replaces splice(2) from or to a blocking socket; descriptors.c. From a blocking socket, this function copies bytes.
 * To a blocking socket, splice(2) may block. Then the alarm interrupts splice(2) (alarm.c), which returns the number of
 * bytes moved so far.
 */
static ssize_t splice_blocking(struct addon *addon, int in, int out, size_t count) {
  if (may_block(addon, in)) return copy_to_pipe(in, out, count);
  if (!is_ready(out, POLLOUT)) {
    errno = EAGAIN;
    return -1;
  }
  if (start_alarm(addon) < 0) return -1;
  ssize_t moved = splice(in, NULL, out, NULL, count, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  stop_alarm(addon);
  if (moved < 0 && errno == EINTR) errno = is_ready(out, POLLOUT) ? EINTR : EAGAIN;
  return moved;
}

/*
 * splice(2) from a pipe or a socket, without blocking. At TCP's urgent data splice(2) makes no progress: it returns
 * EAGAIN, or 0 after the peer has ended the connection, even if more bytes follow (tcp_read_sock in net/ipv4/tcp.c).
 * recv(2) skips the urgent byte and returns the bytes behind it. So at the urgent mark this function copies the bytes.
 */
static ssize_t splice_or_copy(int in, int out, size_t count) {
  ssize_t moved = splice(in, NULL, out, NULL, count, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  if (moved > 0 || (moved < 0 && errno != EAGAIN)) return moved;
  int error = errno, at_mark = 0;
  if (ioctl(in, SIOCATMARK, &at_mark) != 0 || !at_mark) {
    errno = error;
    return moved;
  }
  return copy_to_pipe(in, out, count);
}

/*
 * splice(in, out, count) -> bytes moved, 0 at the end of `in`. If the call blocks on a blocking socket, the alarm
 * interrupts the call (alarm.c). splice(2) has no flag like MSG_NOSIGNAL, and needs none: every Node.js process ignores
 * SIGPIPE.
 */
static napi_value call_splice(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t in, out;
  uint32_t count;
  struct addon *addon = get_addon(env);
  if (addon == NULL || !read_args(env, info, 3, &args) || !arg_i32(&args, 0, &in) || !arg_i32(&args, 1, &out) ||
      !arg_u32(&args, 2, &count)) {
    return NULL;
  }
  bool blocking = may_block(addon, in) || may_block(addon, out);
  return js_number(env,
                   result_or_errno(blocking ? splice_blocking(addon, in, out, count) : splice_or_copy(in, out, count)));
}

/*
 * Copies from `source` to `destination`. For small transfers a copy costs less, because splice(2) takes the pages of
 * each packet apart and assembles them again.
 *
 * Returns true after a full read: `source` may have many bytes, so the caller continues with splice(2). Otherwise
 * stores the result of splice_through() in `*result`. Bytes that `destination` does not accept go into the pipe. They
 * fit, because a read gets at most `capacity` bytes.
 */
static bool copy_small(int source, int write_end, int destination, uint32_t capacity, uint32_t budget, uint32_t flags,
                       struct splice_progress *progress, int64_t *result) {
  uint8_t bytes[SPLICE_THRESHOLD];
  size_t max_size = capacity < SPLICE_THRESHOLD ? capacity : SPLICE_THRESHOLD;
  for (;;) {
    size_t left = budget - progress->received, requested = left < max_size ? left : max_size;
    ssize_t count = sys_recv(source, bytes, requested, MSG_DONTWAIT);
    if (count < 0 && errno == EINTR) continue;
    *result = result_or_errno(count);
    if (count <= 0) return false;
    progress->received += (uint32_t)count;
    size_t size = (size_t)count, at = 0;
    while (at < size) {
      count = sys_send(destination, bytes + at, size - at, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) break;
      at += (size_t)count;
    }
    progress->sent += (uint32_t)at;
    if (at < size) {
      *result = -errno;
      while (at < size && (count = write(write_end, bytes + at, size - at)) > 0) at += (size_t)count;
      /* If the kernel had no memory for the pipe, the remaining bytes are lost. They must not be counted. */
      progress->received -= (uint32_t)(size - at);
      if (at < size) *result = -ENOMEM;
      return false;
    }
    *result = BUDGET_SPENT;
    if (progress->received >= budget) return false;
    if (flags & SPLICE_COPY_ALL) continue;
    if (size == max_size) return true;
    if ((flags & (SPLICE_SHORT_READ_IS_EMPTY | SPLICE_SHORT_READ_IS_END)) && size < requested) {
      *result = flags & SPLICE_SHORT_READ_IS_END ? 0 : -EAGAIN;
      return false;
    }
  }
}

int64_t splice_through(int source, int read_end, int write_end, int destination, uint32_t capacity, uint32_t budget,
                       uint32_t flags, struct splice_progress *progress) {
  int64_t result = BUDGET_SPENT;
  *progress = (struct splice_progress){0};
  if ((flags & (SPLICE_COPY_FIRST | SPLICE_COPY_ALL)) && budget > 0 &&
      !copy_small(source, write_end, destination, capacity, budget, flags, progress, &result)) {
    return result;
  }
  while (result > 0 && progress->received < budget) {
    uint32_t left = budget - progress->received;
    ssize_t count = splice_or_copy(source, write_end, left < capacity ? left : capacity);
    if (count < 0 && errno == EINTR) continue;
    result = result_or_errno(count);
    if (count <= 0) break;
    progress->received += (uint32_t)count;
    while (progress->sent < progress->received) {
      count = splice_or_copy(read_end, destination, progress->received - progress->sent);
      if (count < 0 && errno == EINTR) continue;
      /* splice(2) from a pipe that holds bytes never returns 0. */
      result = count == 0 ? -EIO : result_or_errno(count);
      if (count <= 0) break;
      progress->sent += (uint32_t)count;
    }
  }
  return result > 0 ? BUDGET_SPENT : result;
}

/*
 * spliceThrough(source, read end, write end, destination, capacity, budget, out, flags = 0): splice_through() of
 * addon.h, with the same results.
 *
 * Writes two 32-bit numbers, 8 bytes, to `out`: bytes received from `source` and bytes sent to `destination`. If they
 * are equal, the pipe is empty and an errno comes from `source`. Otherwise it comes from `destination`.
 */
static napi_value call_splice_through(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t source, read_end, write_end, destination;
  uint32_t capacity, budget, flags = 0;
  uint8_t *out;
  size_t out_size;
  struct addon *addon = get_addon(env);
  if (addon == NULL || !read_args(env, info, 7, &args) || !arg_i32(&args, 0, &source) ||
      !arg_i32(&args, 1, &read_end) || !arg_i32(&args, 2, &write_end) || !arg_i32(&args, 3, &destination) ||
      !arg_u32(&args, 4, &capacity) || !arg_u32(&args, 5, &budget) || !arg_bytes(&args, 6, &out, &out_size) ||
      (args.count > 7 && !arg_u32(&args, 7, &flags))) {
    return NULL;
  }
  struct splice_progress progress;
  if (out_size < sizeof progress) {
    napi_throw_range_error(env, NULL, "Cannot call spliceThrough: result view is too short, required 8 bytes");
    return NULL;
  }
  if (may_block(addon, source) || may_block(addon, destination)) flags |= SPLICE_COPY_ALL;
  int64_t result = splice_through(source, read_end, write_end, destination, capacity, budget, flags, &progress);
  memcpy(out, &progress, sizeof progress);
  return js_number(env, result);
}

/* read(fd, view) -> number of bytes. Reads the bytes that are left in a pipe. */
static napi_value call_read(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t fd;
  uint8_t *data;
  size_t size;
  if (!read_args(env, info, 2, &args) || !arg_i32(&args, 0, &fd) || !arg_bytes(&args, 1, &data, &size)) return NULL;
  return js_number(env, result_or_errno(read(fd, data, size)));
}

bool init_splice(napi_env env, napi_value exports) {
  static const struct exported_function functions[] = {
      {"sendfile", call_sendfile}, {"fileSize", call_file_size},           {"pipe", call_pipe},
      {"splice", call_splice},     {"spliceThrough", call_splice_through}, {"read", call_read},
  };
  return EXPORT_FUNCTIONS(env, exports, functions);
}
