/*
 * libuv as weak symbols, so that the addon also loads in a runtime without libuv. has_uv() checks that the functions
 * exist. They may abort in some runtimes, so src/sys/runtime.ts decides whether the addon may call them.
 */
#ifndef BERKELEY_UV_WEAK_H
#define BERKELEY_UV_WEAK_H

#include <node_api.h>
#include <stdbool.h>
#include <uv.h>

#pragma weak napi_get_uv_event_loop
#pragma weak uv_async_init
#pragma weak uv_async_send
#pragma weak uv_close
#pragma weak uv_idle_init
#pragma weak uv_idle_start
#pragma weak uv_idle_stop
#pragma weak uv_poll_init
#pragma weak uv_poll_start
#pragma weak uv_poll_stop
#pragma weak uv_prepare_init
#pragma weak uv_prepare_start
#pragma weak uv_ref
#pragma weak uv_unref

static inline bool has_uv(void) {
  return napi_get_uv_event_loop != NULL && uv_async_init != NULL && uv_async_send != NULL && uv_close != NULL &&
         uv_idle_init != NULL && uv_idle_start != NULL && uv_idle_stop != NULL && uv_poll_init != NULL &&
         uv_poll_start != NULL && uv_poll_stop != NULL && uv_prepare_init != NULL && uv_prepare_start != NULL &&
         uv_ref != NULL && uv_unref != NULL;
}

#endif
