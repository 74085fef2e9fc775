/*
 * The calls that ask and set: socket options, and poll(2).
 *
 * The value of an option is bytes, with two exceptions. Options that take a classic BPF program take a struct with a pointer
 * to it: their value here is the instructions, and the struct is made here, so that the kernel never follows an address
 * that came from JavaScript. And SO_GET_FILTER (the number of SO_ATTACH_FILTER) counts its length in instructions of eight
 * bytes; taken for bytes, it would let the kernel write eight times the room.
 */
#include "addon.h"

#include <linux/filter.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#ifndef PACKET_FANOUT_DATA
#define PACKET_FANOUT_DATA 22
#endif

/* PACKET_FANOUT_DATA takes a program or, as an int, a descriptor. */
static bool takes_program(int32_t level, int32_t name, size_t size) {
  if (level == SOL_SOCKET) return name == SO_ATTACH_FILTER || name == SO_ATTACH_REUSEPORT_CBPF;
  return level == SOL_PACKET && name == PACKET_FANOUT_DATA && size != sizeof(int);
}

/* A copy, because the kernel declares the instructions as not constant, and a view need not be aligned for them. */
static int64_t set_program(int32_t fd, int32_t level, int32_t name, const uint8_t *value, size_t size) {
  if (size % sizeof(struct sock_filter) != 0 || size / sizeof(struct sock_filter) > BPF_MAXINSNS) return -EINVAL;
  struct sock_fprog program = {.len = (unsigned short)(size / sizeof(struct sock_filter)), .filter = malloc(size + 1)};
  if (program.filter == NULL) return -ENOMEM;
  if (size > 0) memcpy(program.filter, value, size);
  int64_t result = outcome(setsockopt(fd, level, name, &program, sizeof program));
  free(program.filter);
  return result;
}

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
  if (takes_program(level, name, size)) return number(env, set_program(fd, level, name, value, size));
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
  bool filter = level == SOL_SOCKET && name == SO_ATTACH_FILTER;
  socklen_t unit = filter ? sizeof(struct sock_filter) : 1;
  socklen_t length = (socklen_t)size / unit;
  if (getsockopt(fd, level, name, room, &length) < 0) return number(env, -errno);
  /* Asked with room for less than one instruction, the kernel only counts, and has written nothing. */
  if (filter && size > 0 && (size_t)length * unit > size) return number(env, -EINVAL);
  return number(env, (int64_t)length * unit);
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
