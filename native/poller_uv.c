/*
 * The backend of the poller on libuv. One uv_poll_t on the loop of the environment watches the epoll descriptor.
 *
 * The uv_poll_t keeps the loop alive only while a call waits: if none waits, the callback of a uv_prepare_t
 * unreferences the uv_poll_t right before the loop would block. A uv_idle_t is active while relays are queued. It keeps
 * the loop from blocking, and its callback continues the relays in the next turn.
 */
#include "poller.h"
#include "uv_weak.h"

#include <stdlib.h>

struct handles {
  struct poller *poller;
  uv_poll_t poll;
  uv_prepare_t prepare;
  uv_idle_t idle;
  int open_count; /* handles that are not closed yet */
  bool closing;
  napi_async_cleanup_hook_handle hook;
};

static void on_idle(uv_idle_t *handle) {
  struct handles *handles = handle->data;
  if (!poller_continue_relays(handles->poller)) uv_idle_stop(handle);
}

/*
 * If `status` is an error, libuv has stopped the handle. Then epoll_wait(2) in poller_readable() fails too, and its
 * errno goes to JavaScript.
 */
static void on_readable(uv_poll_t *handle, int status, int events) {
  (void)status;
  (void)events;
  struct handles *handles = handle->data;
  if (poller_readable(handles->poller)) uv_idle_start(&handles->idle, on_idle);
  if (handles->poller->failed) uv_poll_stop(handle);
}

static void before_blocking(uv_prepare_t *handle) {
  struct handles *handles = handle->data;
  if (poller_is_idle(handles->poller)) poller_unreference(handles->poller);
}

static void on_loop_handle_closed(uv_handle_t *handle) {
  struct handles *handles = handle->data;
  if (--handles->open_count > 0) return;
  /* libuv requires that its handles are closed before poller_free() closes the epoll descriptor. */
  poller_free(handles->poller);
  napi_remove_async_cleanup_hook(handles->hook);
  free(handles);
}

static void loop_end(struct poller *poller) {
  struct handles *handles = poller->data;
  handles->closing = true;
  uv_poll_stop(&handles->poll);
  uv_close((uv_handle_t *)&handles->poll, on_loop_handle_closed);
  uv_close((uv_handle_t *)&handles->prepare, on_loop_handle_closed);
  uv_close((uv_handle_t *)&handles->idle, on_loop_handle_closed);
}

/* The handles are closed in later turns, so the hook is asynchronous. on_loop_handle_closed() removes the hook. */
static void loop_end_environment(napi_async_cleanup_hook_handle hook, void *data) {
  (void)hook;
  struct handles *handles = data;
  if (!handles->closing) poller_end(handles->poller);
}

static int loop_start(struct poller *poller) {
  uv_loop_t *loop;
  if (!has_uv() || napi_get_uv_event_loop(poller->env, &loop) != napi_ok) return -ENOTSUP;
  struct handles *handles = calloc(1, sizeof *handles);
  if (handles == NULL) return -ENOMEM;
  if (napi_add_async_cleanup_hook(poller->env, loop_end_environment, handles, &handles->hook) != napi_ok) {
    free(handles);
    return -ENOMEM;
  }
  int error = uv_poll_init(loop, &handles->poll, poller->epfd);
  if (error != 0) {
    napi_remove_async_cleanup_hook(handles->hook);
    free(handles);
    return error;
  }
  poller->data = handles;
  handles->poller = poller;
  handles->poll.data = handles->prepare.data = handles->idle.data = handles;
  handles->open_count = 3;
  /* These calls cannot fail for new handles and a descriptor that uv_poll_init() has accepted. */
  uv_prepare_init(loop, &handles->prepare);
  uv_idle_init(loop, &handles->idle);
  uv_poll_start(&handles->poll, UV_READABLE, on_readable);
  uv_prepare_start(&handles->prepare, before_blocking);
  uv_unref((uv_handle_t *)&handles->poll);
  uv_unref((uv_handle_t *)&handles->prepare);
  uv_unref((uv_handle_t *)&handles->idle);
  return 0;
}

static void loop_ref(struct poller *poller) { uv_ref((uv_handle_t *)&((struct handles *)poller->data)->poll); }

static void loop_unref(struct poller *poller) { uv_unref((uv_handle_t *)&((struct handles *)poller->data)->poll); }

const struct backend uv_backend = {
    .start = loop_start, .ref = loop_ref, .unref = loop_unref, .end = loop_end, .call_js = call_js_from_uv};
