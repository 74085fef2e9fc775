/* The calls that ask and set: socket options, and poll(2). */
#include "addon.h"

#include <poll.h>

/* setsockopt(fd, level, name, value as bytes) */
static napi_value call_setsockopt(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t fd, level, name;
  uint8_t *value;
  size_t size;
  if (!read_args(env, info, 4, &args) || !arg_i32(&args, 0, &fd) || !arg_i32(&args, 1, &level) ||
      !arg_i32(&args, 2, &name) || !arg_bytes(&args, 3, &value, &size)) {
    return NULL;
  }
  return number(env, outcome(setsockopt(fd, level, name, value, (socklen_t)size)));
}

/* getsockopt(fd, level, name, room) -> length of the value */
static napi_value call_getsockopt(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t fd, level, name;
  uint8_t *room;
  size_t size;
  if (!read_args(env, info, 4, &args) || !arg_i32(&args, 0, &fd) || !arg_i32(&args, 1, &level) ||
      !arg_i32(&args, 2, &name) || !arg_bytes(&args, 3, &room, &size)) {
    return NULL;
  }
  socklen_t length = (socklen_t)size;
  if (getsockopt(fd, level, name, room, &length) < 0) return number(env, -errno);
  return number(env, length);
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
  return number(env, count < 0 ? -errno : count == 0 ? 0 : entry.revents);
}

bool init_options(napi_env env, napi_value exports) {
  static const struct entry entries[] = {
      {"setsockopt", call_setsockopt},
      {"getsockopt", call_getsockopt},
      {"poll", call_poll},
  };
  return EXPORT_ALL(env, exports, entries);
}
