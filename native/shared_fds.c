/*
 * Shared descriptors: those that other code may use too. They were created elsewhere or duplicated, or JavaScript has
 * requested their number.
 *
 * Other code may close the number of a shared descriptor, and then the kernel may give it to another file. So close()
 * compares the inode first.
 *
 * O_NONBLOCK belongs to the open file description. A child process, or the receiver of a passed descriptor, can clear
 * it for all users of the description. The addon does not set it again, because the other process may rely on a
 * blocking descriptor. So every call that sends or receives has MSG_DONTWAIT. accept4(2), connect(2), sendfile(2) and
 * splice(2) have no such flag; for them see alarm.c.
 */
#include "addon.h"
#include "descriptors.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>

/*
 * Identifies the file of a descriptor: device and inode in 52 bits, because a JavaScript number holds 53. Each socket
 * has its own inode (sockfs). Returns 0 for a number that is not open.
 */
static uint64_t get_identity(int fd) {
  struct stat status;
  if (fstat(fd, &status) < 0) return 0;
  uint64_t both = (((uint64_t)status.st_dev << 40) ^ (uint64_t)status.st_ino) & ((UINT64_C(1) << 52) - 1);
  return both == 0 ? 1 : both;
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

/* share(fd): the number becomes known to other code -> identity of the file, for close() */
static napi_value call_share(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t fd;
  struct addon *addon = get_addon(env);
  if (addon == NULL || !read_args(env, info, 1, &args) || !arg_i32(&args, 0, &fd)) return NULL;
  return js_number(env, mark_shared(addon, fd));
}

bool init_shared_fds(napi_env env, napi_value exports) {
  static const struct exported_function functions[] = {{"share", call_share}};
  return EXPORT_FUNCTIONS(env, exports, functions);
}
