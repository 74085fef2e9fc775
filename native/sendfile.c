/* Sending a file to a socket. */
#include "addon.h"
#include "descriptors.h"
#include "syscalls.h"

#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

/* Copies, because sendfile(2) would block on a blocking socket; shared_fds.c. */
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

bool init_sendfile(napi_env env, napi_value exports) {
  static const struct exported_function functions[] = {
      {"sendfile", call_sendfile},
      {"fileSize", call_file_size},
  };
  return EXPORT_FUNCTIONS(env, exports, functions);
}
