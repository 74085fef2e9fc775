/*
 * poll(2) for one or many descriptors, and an epoll descriptor that is readable while one of a set of descriptors is
 * ready.
 *
 * Entries are passed as an array of struct pollfd: fd with 32 bits, events and revents with 16 bits each, in host byte
 * order.
 */
#include "addon.h"

#include <poll.h>
#include <stdalign.h>
#include <sys/epoll.h>
#include <unistd.h>

static bool arg_entries(const struct args *args, size_t index, struct pollfd **entries, nfds_t *count) {
  uint8_t *data;
  size_t size;
  if (!arg_bytes(args, index, &data, &size)) return false;
  if (size % sizeof(struct pollfd) != 0 || (uintptr_t)data % alignof(struct pollfd) != 0) {
    napi_throw_range_error(
        args->env, NULL,
        "Cannot make a native call: view has a wrong length or alignment, required aligned struct pollfd entries");
    return false;
  }
  *entries = (struct pollfd *)data;
  *count = size / sizeof(struct pollfd);
  return true;
}

/*
 * poll(fd, events, timeout in ms) -> revents, 0 if the timeout ends first. Blocks the thread if the timeout is not 0.
 */
static napi_value call_poll(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t fd, events, timeout;
  if (!read_args(env, info, 3, &args) || !arg_i32(&args, 0, &fd) || !arg_i32(&args, 1, &events) ||
      !arg_i32(&args, 2, &timeout)) {
    return NULL;
  }
  struct pollfd entry = {.fd = fd, .events = (short)events};
  int count = poll(&entry, 1, timeout);
  return js_number(env, count < 0 ? -errno : entry.revents);
}

/*
 * pollEntries(entries, timeout in ms) -> number of entries whose revents are not 0. Stores the revents of all entries.
 * Blocks the thread if the timeout is not 0.
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
 * pollset(entries) -> an owned epoll descriptor that is readable while one of the descriptors is ready. A descriptor
 * may occur only once. epoll(7) refuses some files with EPERM, for example regular files. The set omits them, because
 * they have no events.
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
    /* poll(2) and epoll(7) use the same bits. */
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
