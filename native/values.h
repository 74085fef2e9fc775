/* Values of JavaScript: reading arguments, creating results, calling functions, exporting functions. */
#ifndef BERKELEY_VALUES_H
#define BERKELEY_VALUES_H

#include <node_api.h>

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Functions that read an argument return false with a TypeError or RangeError pending. */
#define MAX_ARGS 12
#define MAX_OPTIONAL_ARGS 2
struct args {
  napi_env env;
  size_t count;
  napi_value values[MAX_ARGS];
};

bool read_args(napi_env env, napi_callback_info info, size_t required, struct args *args);
bool arg_i32(const struct args *args, size_t index, int32_t *out);
bool arg_u32(const struct args *args, size_t index, uint32_t *out);
/* An integer from 0 to 2^53-1. */
bool arg_offset(const struct args *args, size_t index, int64_t *out);
/* The bytes of a TypedArray or Buffer. A detached or out-of-bounds view has length 0. */
bool arg_bytes(const struct args *args, size_t index, uint8_t **data, size_t *length);
bool value_bytes(napi_env env, napi_value value, uint8_t **data, size_t *length);
/*
 * A string as an allocated C string; null and undefined as NULL. A string that contains NUL is refused, because C would
 * read only the part before NUL.
 */
bool arg_string(const struct args *args, size_t index, char **out);

napi_value js_number(napi_env env, int64_t value);
napi_value js_string_or_null(napi_env env, const char *string);

/*
 * The result of a system call, or -errno if it failed. No other call may come in between, because it could change
 * errno.
 */
static inline int64_t result_or_errno(int64_t value) { return value >= 0 ? value : -(int64_t)errno; }

/*
 * Both functions call JavaScript. call_from_node_api() is for callbacks that Node-API invokes: completed work and
 * threadsafe functions. There the runtime runs the microtasks afterwards. call_from_uv() is for callbacks of libuv,
 * after which Node does not run them. An exception of the function becomes an uncaught exception. Both return true if
 * the function returned normally.
 */
bool call_from_node_api(napi_env env, napi_ref callback, size_t count, const napi_value *arguments);
bool call_from_uv(napi_env env, napi_ref callback, size_t count, const napi_value *arguments);

struct exported_function {
  const char *name;
  napi_callback function;
};
bool export_functions(napi_env env, napi_value exports, const struct exported_function *functions, size_t count);
#define EXPORT_FUNCTIONS(env, exports, functions) \
  export_functions(env, exports, functions, sizeof(functions) / sizeof((functions)[0]))

#endif
