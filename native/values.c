/* Reads and checks arguments, creates results, and calls functions of JavaScript. */
#include "addon.h"

#include <stdlib.h>
#include <string.h>

bool read_args(napi_env env, napi_callback_info info, size_t required, struct args *args) {
  args->env = env;
  /* Node-API fills the whole capacity, with undefined for missing arguments. So a small capacity saves time. */
  size_t capacity = required + MAX_OPTIONAL_ARGS < MAX_ARGS ? required + MAX_OPTIONAL_ARGS : MAX_ARGS;
  args->count = capacity;
  if (napi_get_cb_info(env, info, &args->count, args->values, NULL, NULL) != napi_ok) return false;
  /* Node-API returns the number of arguments that JavaScript passed, which may be larger than the capacity. */
  if (args->count > capacity) args->count = capacity;
  if (args->count < required) {
    napi_throw_type_error(env, NULL, "Cannot make a native call: an argument is missing");
    return false;
  }
  return true;
}

static bool throw_type_error(napi_env env, const char *message) {
  napi_throw_type_error(env, NULL, message);
  return false;
}

bool arg_i32(const struct args *args, size_t index, int32_t *out) {
  if (index < args->count && napi_get_value_int32(args->env, args->values[index], out) == napi_ok) return true;
  return throw_type_error(args->env, "Cannot make a native call: argument is not a number, required a number");
}

bool arg_u32(const struct args *args, size_t index, uint32_t *out) {
  if (index < args->count && napi_get_value_uint32(args->env, args->values[index], out) == napi_ok) return true;
  return throw_type_error(args->env, "Cannot make a native call: argument is not a number, required a number");
}

bool arg_offset(const struct args *args, size_t index, int64_t *out) {
  double value;
  if (index >= args->count || napi_get_value_double(args->env, args->values[index], &value) != napi_ok) {
    return throw_type_error(args->env, "Cannot make a native call: argument is not a number, required a number");
  }
  /* NaN fails this comparison. */
  if (!(value >= 0 && value <= 9007199254740991.0)) {
    napi_throw_range_error(args->env, NULL,
                           "Cannot make a native call: argument is out of range, required an integer from 0 to 2^53-1");
    return false;
  }
  *out = (int64_t)value;
  return true;
}

bool value_bytes(napi_env env, napi_value value, uint8_t **data, size_t *length) {
  napi_typedarray_type type;
  size_t elements;
  void *start;
  if (napi_get_typedarray_info(env, value, &type, &elements, &start, NULL, NULL) != napi_ok) {
    return throw_type_error(env, "Cannot make a native call: argument is not a byte view, required a Uint8Array");
  }
  /* `elements` is the number of bytes only if each element has one byte. */
  if (type != napi_uint8_array && type != napi_uint8_clamped_array && type != napi_int8_array) {
    return throw_type_error(env, "Cannot make a native call: argument is not a byte view, required a Uint8Array");
  }
  *data = start;
  *length = start == NULL ? 0 : elements;
  return true;
}

bool arg_bytes(const struct args *args, size_t index, uint8_t **data, size_t *length) {
  if (index >= args->count)
    return throw_type_error(args->env, "Cannot make a native call: argument is not a byte view, required a Uint8Array");
  return value_bytes(args->env, args->values[index], data, length);
}

bool arg_string(const struct args *args, size_t index, char **out) {
  napi_env env = args->env;
  napi_valuetype type;
  size_t length;
  *out = NULL;
  if (index >= args->count || napi_typeof(env, args->values[index], &type) != napi_ok) {
    return throw_type_error(env, "Cannot make a native call: argument is not a string, required a string or null");
  }
  if (type == napi_null || type == napi_undefined) return true;
  /* Deno converts any value to a string, so the type is checked first. */
  if (type != napi_string || napi_get_value_string_utf8(env, args->values[index], NULL, 0, &length) != napi_ok) {
    return throw_type_error(env, "Cannot make a native call: argument is not a string, required a string or null");
  }
  char *string = malloc(length + 1);
  if (string == NULL) {
    napi_throw_error(env, "ENOMEM", "Cannot make a native call: out of memory");
    return false;
  }
  if (napi_get_value_string_utf8(env, args->values[index], string, length + 1, &length) != napi_ok ||
      strlen(string) != length) {
    free(string);
    return throw_type_error(env, "Cannot make a native call: string contains NUL, required a string without NUL");
  }
  *out = string;
  return true;
}

bool arg_address(const struct args *args, size_t index, const struct sockaddr **address, socklen_t *length) {
  uint8_t *data;
  size_t size;
  if (!arg_bytes(args, index, &data, &size)) return false;
  if (size > sizeof(struct sockaddr_storage)) {
    napi_throw_range_error(
        args->env, NULL,
        "Cannot make a native call: socket address is too long, required at most sizeof(struct sockaddr_storage)");
    return false;
  }
  *address = (const struct sockaddr *)data;
  *length = (socklen_t)size;
  return true;
}

bool arg_address_buffer(const struct args *args, size_t index, uint8_t **buffer, size_t *length) {
  size_t size;
  if (!arg_bytes(args, index, buffer, &size)) return false;
  if (size < ADDRESS_BUFFER_SIZE) {
    napi_throw_range_error(
        args->env, NULL,
        "Cannot make a native call: address view is too short, required 4 + sizeof(struct sockaddr_storage)");
    return false;
  }
  if (length != NULL) *length = size;
  return true;
}

void write_address(uint8_t *buffer, const struct sockaddr_storage *address, socklen_t length) {
  /* If the kernel truncates an address, it returns the full length. */
  uint32_t stored = length > sizeof *address ? (uint32_t)sizeof *address : (uint32_t)length;
  memcpy(buffer, &stored, sizeof stored);
  memcpy(buffer + sizeof stored, address, stored);
}

napi_value js_string_or_null(napi_env env, const char *string) {
  napi_value value;
  napi_status status =
      string == NULL ? napi_get_null(env, &value) : napi_create_string_utf8(env, string, NAPI_AUTO_LENGTH, &value);
  return status == napi_ok ? value : NULL;
}

napi_value js_number(napi_env env, int64_t value) {
  napi_value result;
  if (value >= INT32_MIN && value <= INT32_MAX) {
    if (napi_create_int32(env, (int32_t)value, &result) != napi_ok) return NULL;
  } else if (napi_create_int64(env, value, &result) != napi_ok) {
    return NULL;
  }
  return result;
}

static bool get_callback(napi_env env, napi_ref callback, napi_value *function, napi_value *global) {
  return napi_get_reference_value(env, callback, function) == napi_ok && *function != NULL &&
         napi_get_global(env, global) == napi_ok;
}

/* Returns whether a call of JavaScript was successful. Makes its exception an uncaught exception. */
static bool report_exception(napi_env env, napi_status status) {
  if (status == napi_pending_exception) {
    napi_value error;
    if (napi_get_and_clear_last_exception(env, &error) == napi_ok) napi_fatal_exception(env, error);
  }
  return status == napi_ok;
}

bool call_js_from_node_api(napi_env env, napi_ref callback, size_t count, const napi_value *arguments) {
  napi_value function, global, result;
  return get_callback(env, callback, &function, &global) &&
         report_exception(env, napi_call_function(env, global, function, count, arguments, &result));
}

bool call_js_from_uv(napi_env env, napi_ref callback, size_t count, const napi_value *arguments) {
  napi_value function, global;
  return get_callback(env, callback, &function, &global) &&
         report_exception(env, napi_make_callback(env, NULL, global, function, count, arguments, NULL));
}

bool export_functions(napi_env env, napi_value exports, const struct exported_function *functions, size_t count) {
  for (size_t i = 0; i < count; i++) {
    napi_value function;
    if (napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, functions[i].function, NULL, &function) !=
            napi_ok ||
        napi_set_named_property(env, exports, functions[i].name, function) != napi_ok) {
      return false;
    }
  }
  return true;
}
