/* Moving bytes inside the kernel: a file to a socket, a socket through a pipe to a socket. */
#include "addon.h"
#include "direct.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

/* sendfile(2) to a blocking socket would wait: see shared.c. The bytes are copied. */
static int64_t copy_file(int out, int in, off_t offset, uint32_t count) {
  uint8_t bytes[1 << 16];
  int64_t moved = 0;
  while (moved < count) {
    size_t left = (size_t)(count - moved), asked = left < sizeof bytes ? left : sizeof bytes;
    ssize_t got = pread(in, bytes, asked, offset + moved);
    if (got <= 0) return moved > 0 ? moved : outcome(got);
    ssize_t sent = direct_send(out, bytes, (size_t)got, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) return moved > 0 ? moved : -errno;
    moved += sent;
    if (sent < got) break;
  }
  return moved;
}

/* sendfile(out, in, offset, count) -> bytes moved; 0 at the end of the file. The file's own offset stays as it is. */
static napi_value call_sendfile(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t out, in;
  int64_t offset;
  uint32_t count;
  struct addon *addon = addon_of(env);
  if (addon == NULL || !read_args(env, info, 4, &args) || !arg_i32(&args, 0, &out) || !arg_i32(&args, 1, &in) ||
      !arg_offset(&args, 2, &offset) || !arg_u32(&args, 3, &count)) {
    return NULL;
  }
  if (may_wait(addon, out)) return number(env, copy_file(out, in, offset, count));
  off_t at = offset;
  return number(env, outcome(sendfile(out, in, &at, count)));
}

/* fileSize(fd): of a regular file its length, of a block device 0; EINVAL for what sendfile would have to wait for. */
static napi_value call_file_size(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t fd;
  struct stat status;
  if (!read_args(env, info, 1, &args) || !arg_i32(&args, 0, &fd)) return NULL;
  if (fstat(fd, &status) < 0) return number(env, -errno);
  if (S_ISREG(status.st_mode)) return number(env, status.st_size);
  return number(env, S_ISBLK(status.st_mode) ? 0 : -EINVAL);
}

/*
 * pipe(size, room for two numbers as 8 bytes) -> bytes that the pipe holds. The read end comes first. The kernel rounds the
 * size up, and where it does not grant it (pipe(7), "pipe-user-pages-soft") the pipe has what it has.
 */
static napi_value call_pipe(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t size;
  uint8_t *room;
  size_t room_size;
  struct addon *addon = addon_of(env);
  if (addon == NULL || !read_args(env, info, 2, &args) || !arg_i32(&args, 0, &size) ||
      !arg_bytes(&args, 1, &room, &room_size)) {
    return NULL;
  }
  int ends[2];
  if (room_size < sizeof ends) {
    napi_throw_range_error(env, NULL, "pipe takes room for two descriptors");
    return NULL;
  }
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) return number(env, -errno);
  int capacity = fcntl(ends[1], F_SETPIPE_SZ, size);
  if (capacity < 0) capacity = fcntl(ends[1], F_GETPIPE_SZ);
  int error = capacity < 0 ? -errno : 0;
  if (error == 0) error = own(addon, ends[0]) < 0 ? -ENOMEM : 0;
  if (error == 0 && own(addon, ends[1]) < 0) {
    disown(addon, ends[0]);
    error = -ENOMEM;
  }
  if (error != 0) {
    close(ends[0]);
    close(ends[1]);
    return number(env, error);
  }
  memcpy(room, ends, sizeof ends);
  return number(env, capacity);
}

/* Most bytes that are copied through the program instead of being spliced. */
#define FEW MANY

/* From a socket to a pipe, by way of the program: bytes are taken from the socket only when the pipe has them. */
static ssize_t copy_on(int in, int out, size_t count) {
  uint8_t bytes[FEW];
  ssize_t moved = recv(in, bytes, count < FEW ? count : FEW, MSG_PEEK | MSG_DONTWAIT);
  if (moved <= 0) return moved;
  moved = write(out, bytes, (size_t)moved);
  return moved <= 0 ? moved : recv(in, bytes, (size_t)moved, MSG_DONTWAIT);
}

/*
 * splice(2) to or from a blocking socket: see shared.c. From a socket the bytes are copied. To a socket the alarm ends a wait; what went
 * out before it counts.
 */
static ssize_t splice_blocking(struct addon *addon, int in, int out, size_t count) {
  if (may_wait(addon, in)) return copy_on(in, out, count);
  if (!is_ready(out, POLLOUT)) {
    errno = EAGAIN;
    return -1;
  }
  int error = begin_alarm(addon);
  if (error < 0) {
    errno = -error;
    return -1;
  }
  ssize_t moved = splice(in, NULL, out, NULL, count, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  end_alarm(addon);
  if (moved < 0 && errno == EINTR) errno = is_ready(out, POLLOUT) ? EINTR : EAGAIN;
  return moved;
}

/*
 * splice(2), from a pipe or a socket. At TCP's urgent data it gets no further: it says would-block there, and the end once that
 * has come, whatever lies behind (tcp_read_sock in net/ipv4/tcp.c). recv(2) does get past, as an ordinary read does, without the
 * urgent byte; so there bytes are copied.
 */
static ssize_t splice_on(int in, int out, size_t count) {
  ssize_t moved = splice(in, NULL, out, NULL, count, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  if (moved > 0 || (moved < 0 && errno != EAGAIN)) return moved;
  int error = errno, at_mark = 0;
  if (ioctl(in, SIOCATMARK, &at_mark) != 0 || !at_mark) {
    errno = error;
    return moved;
  }
  return copy_on(in, out, count);
}

/*
 * splice(in, out, count) -> bytes moved; 0 at the end of `in`. It never waits. SIGPIPE, which splice(2) has no flag
 * against, is ignored by every Node process.
 */
static napi_value call_splice(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t in, out;
  uint32_t count;
  struct addon *addon = addon_of(env);
  if (addon == NULL || !read_args(env, info, 3, &args) || !arg_i32(&args, 0, &in) || !arg_i32(&args, 1, &out) ||
      !arg_u32(&args, 2, &count)) {
    return NULL;
  }
  if (may_wait(addon, in) || may_wait(addon, out)) return number(env, outcome(splice_blocking(addon, in, out, count)));
  return number(env, outcome(splice_on(in, out, count)));
}

/*
 * Copies: a splice takes apart and puts together again what a packet is made of, which pays for many bytes only. True when there
 * may be more than a few; otherwise `result` is what ended it, as splice_through() returns it. What `to` does not take goes
 * into the pipe, which has room for it.
 */
static bool copy_few(int from, int write_end, int to, uint32_t at_once, uint32_t budget, uint32_t how,
                     uint32_t progress[2], int64_t *result) {
  uint8_t bytes[FEW];
  size_t most = at_once < FEW ? at_once : FEW;
  for (;;) {
    size_t left = budget - progress[0], asked = left < most ? left : most;
    ssize_t count = direct_recv(from, bytes, asked, MSG_DONTWAIT);
    if (count < 0 && errno == EINTR) continue;
    *result = outcome(count);
    if (count <= 0) return false;
    progress[0] += (uint32_t)count;
    size_t size = (size_t)count, at = 0;
    while (at < size) {
      count = direct_send(to, bytes + at, size - at, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) break;
      at += (size_t)count;
    }
    progress[1] += (uint32_t)at;
    if (at < size) {
      *result = -errno;
      while (at < size && (count = write(write_end, bytes + at, size - at)) > 0) at += (size_t)count;
      /* Without memory for the pipe the rest is gone, and must not be looked for there. */
      progress[0] -= (uint32_t)(size - at);
      if (at < size) *result = -ENOMEM;
      return false;
    }
    *result = 1;
    if (progress[0] >= budget) return false;
    if (how & THROUGH_COPY) continue;
    if (size == most) return true;
    if ((how & (THROUGH_SHORT_MEANS_EMPTY | THROUGH_SHORT_MEANS_END)) && size < asked) {
      *result = how & THROUGH_SHORT_MEANS_END ? 0 : -EAGAIN;
      return false;
    }
  }
}

int64_t splice_through(int from, int read_end, int write_end, int to, uint32_t at_once, uint32_t budget, uint32_t how,
                       uint32_t progress[2]) {
  int64_t result = 1;
  progress[0] = progress[1] = 0;
  if ((how & (THROUGH_FEW | THROUGH_COPY)) && budget > 0 && !copy_few(from, write_end, to, at_once, budget, how, progress, &result)) {
    return result;
  }
  while (result > 0 && progress[0] < budget) {
    uint32_t left = budget - progress[0];
    ssize_t count = splice_on(from, write_end, left < at_once ? left : at_once);
    if (count < 0 && errno == EINTR) continue;
    result = outcome(count);
    if (count <= 0) break;
    progress[0] += (uint32_t)count;
    while (progress[1] < progress[0]) {
      count = splice_on(read_end, to, progress[0] - progress[1]);
      if (count < 0 && errno == EINTR) continue;
      /* A pipe that holds bytes does not end. */
      result = count == 0 ? -EIO : outcome(count);
      if (count <= 0) break;
      progress[1] += (uint32_t)count;
    }
  }
  return result > 0 ? 1 : result;
}

/*
 * spliceThrough(from, read end, write end, to, at a time, budget, out, how = 0): fills the pipe, which is empty, and empties it, again
 * and again, until something stops it or `budget` bytes have been taken. It is the one call that makes several system
 * calls: it saves a round through JavaScript for each fill of the pipe. With 1 in `how` it begins with recv(2) and send(2), and
 * splices once there are more bytes than a few; with 2 a recv(2) that gets less than it asked for has emptied the source,
 * and counts as would-block; with 4 it has got the last before the end, and counts as that.
 *
 * -> 1 when the budget is spent, 0 at the end of `from`, or -errno. `out` takes two 32-bit numbers, as 8 bytes: bytes taken
 * from `from` and bytes that `to` took. If the two are equal, the pipe is empty and it was `from` that stopped it;
 * otherwise it was `to`.
 */
static napi_value call_splice_through(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t from, read_end, write_end, to;
  uint32_t at_once, budget, how = 0;
  uint8_t *out;
  size_t out_size;
  struct addon *addon = addon_of(env);
  if (addon == NULL || !read_args(env, info, 7, &args) || !arg_i32(&args, 0, &from) || !arg_i32(&args, 1, &read_end) ||
      !arg_i32(&args, 2, &write_end) || !arg_i32(&args, 3, &to) || !arg_u32(&args, 4, &at_once) ||
      !arg_u32(&args, 5, &budget) || !arg_bytes(&args, 6, &out, &out_size) ||
      (args.count > 7 && !arg_u32(&args, 7, &how))) {
    return NULL;
  }
  uint32_t progress[2];
  if (out_size < sizeof progress) {
    napi_throw_range_error(env, NULL, "spliceThrough takes room for two numbers");
    return NULL;
  }
  if (may_wait(addon, from) || may_wait(addon, to)) how |= THROUGH_COPY;
  int64_t result = splice_through(from, read_end, write_end, to, at_once, budget, how, progress);
  memcpy(out, progress, sizeof progress);
  return number(env, result);
}

/* read(fd, view) -> bytes; for what a pipe still holds. */
static napi_value call_read(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t fd;
  uint8_t *data;
  size_t size;
  if (!read_args(env, info, 2, &args) || !arg_i32(&args, 0, &fd) || !arg_bytes(&args, 1, &data, &size)) return NULL;
  return number(env, outcome(read(fd, data, size)));
}

bool init_move(napi_env env, napi_value exports) {
  static const struct entry entries[] = {
      {"sendfile", call_sendfile},
      {"fileSize", call_file_size},
      {"pipe", call_pipe},
      {"splice", call_splice},
      {"spliceThrough", call_splice_through},
      {"read", call_read},
  };
  return EXPORT_ALL(env, exports, entries);
}
