/*
 * Many descriptors at once: poll(2) over a table of entries, and a descriptor that becomes readable when one of them may be
 * ready.
 *
 * Entries cross the seam as an array of struct pollfd: fd as 32 bits, events and revents as 16 bits each, in the machine's
 * order.
 */
#include "addon.h"
#include "descriptors.h"

#include <poll.h>
#include <stdalign.h>
#include <sys/epoll.h>
#include <unistd.h>

static bool arg_entries(const struct args *args, size_t index, struct pollfd **entries, nfds_t *count) {
  uint8_t *data;
  size_t size;
  if (!arg_bytes(args, index, &data, &size)) return false;
  if (size % sizeof(struct pollfd) != 0 || (uintptr_t)data % alignof(struct pollfd) != 0) {
    napi_throw_range_error(args->env, NULL, "a native call takes whole and aligned struct pollfd here");
    return false;
  }
  *entries = (struct pollfd *)data;
  *count = size / sizeof(struct pollfd);
  return true;
}

/* poll(fd, events, timeout in ms) -> revents, 0 when nothing is ready. With a timeout other than 0 it blocks the thread. */
static napi_value call_poll(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t fd, events, timeout;
  if (!read_args(env, info, 3, &args) || !arg_i32(&args, 0, &fd) || !arg_i32(&args, 1, &events) ||
      !arg_i32(&args, 2, &timeout)) {
    return NULL;
  }
  struct pollfd entry = {.fd = fd, .events = (short)events};
  int count = poll(&entry, 1, timeout);
  return js_number(env, count < 0 ? -errno : count == 0 ? 0 : entry.revents);
}

/*
 * pollEntries(entries, timeout in ms) -> how many have revents, which are stored. With a timeout other than 0 it blocks the
 * thread.
 */
static napi_value call_poll_entries(napi_env env, napi_callback_info info) {
  struct args args;
  struct pollfd *entries;
  nfds_t count;
  int32_t timeout;
  if (!read_args(env, info, 2, &args) || !arg_entries(&args, 0, &entries, &count) || !arg_i32(&args, 1, &timeout)) {
    return NULL;
  }
  return js_number(env, result_or_errno(poll(entries, count, timeout)));
}

/*
 * pollset(entries) -> a descriptor of ours that is readable while one of them is ready, each of which stands there once. What
 * epoll(7) refuses with EPERM, such as a regular file, is left out: nothing ever happens to it.
 */
static napi_value call_pollset(napi_env env, napi_callback_info info) {
  struct args args;
  struct pollfd *entries;
  nfds_t count;
  struct addon *addon = get_addon(env);
  if (addon == NULL || !read_args(env, info, 1, &args) || !arg_entries(&args, 0, &entries, &count)) return NULL;
  int epfd = epoll_create1(EPOLL_CLOEXEC);
  if (epfd < 0) return js_number(env, -errno);
  for (nfds_t i = 0; i < count; i++) {
    /* The bits of poll(2) are those of epoll(7). */
    struct epoll_event event = {.events = (uint16_t)entries[i].events};
    if (epoll_ctl(epfd, EPOLL_CTL_ADD, entries[i].fd, &event) == 0 || errno == EPERM) continue;
    int error = errno;
    close(epfd);
    return js_number(env, -error);
  }
  return js_number(env, own_new(addon, epfd));
}

bool init_poll(napi_env env, napi_value exports) {
  static const struct exported_function functions[] = {
      {"poll", call_poll},
      {"pollEntries", call_poll_entries},
      {"pollset", call_pollset},
  };
  return EXPORT_FUNCTIONS(env, exports, functions);
}
