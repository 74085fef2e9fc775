/*
 * Names: the resolver, interfaces, services, protocols, the host.
 *
 * getaddrinfo(3) and getnameinfo(3) may take seconds, so they run on the loop's thread pool and answer through a callback.
 */
#include "addon.h"

#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct lookup {
  napi_async_work work;
  napi_ref callback;
  /* getaddrinfo */
  char *host, *service;
  struct addrinfo hints, *found;
  /* getnameinfo */
  struct sockaddr_storage address;
  socklen_t address_length;
  int flags;
  char name[NI_MAXHOST], port[NI_MAXSERV];
  int status, error;
};

static void free_lookup(napi_env env, struct lookup *lookup) {
  if (lookup->work != NULL) napi_delete_async_work(env, lookup->work);
  if (lookup->callback != NULL) napi_delete_reference(env, lookup->callback);
  if (lookup->found != NULL) freeaddrinfo(lookup->found);
  free(lookup->host);
  free(lookup->service);
  free(lookup);
}

/* A string argument as an allocated C string; null and undefined give NULL. A NUL inside was refused by the caller. */
static bool arg_text(const struct args *args, size_t index, char **out) {
  napi_valuetype type;
  size_t length;
  *out = NULL;
  if (index >= args->count || napi_typeof(args->env, args->values[index], &type) != napi_ok) return false;
  if (type == napi_null || type == napi_undefined) return true;
  if (napi_get_value_string_utf8(args->env, args->values[index], NULL, 0, &length) != napi_ok) {
    napi_throw_type_error(args->env, NULL, "a native call takes a string or null here");
    return false;
  }
  *out = malloc(length + 1);
  if (*out == NULL) {
    napi_throw_error(args->env, "ENOMEM", "out of memory");
    return false;
  }
  return napi_get_value_string_utf8(args->env, args->values[index], *out, length + 1, &length) == napi_ok;
}

static bool set(napi_env env, napi_value object, uint32_t index, napi_value value) {
  return value != NULL && napi_set_element(env, object, index, value) == napi_ok;
}

static napi_value text_or_null(napi_env env, const char *text) {
  napi_value value;
  napi_status status =
      text == NULL ? napi_get_null(env, &value) : napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &value);
  return status == napi_ok ? value : NULL;
}

static napi_value bytes(napi_env env, const void *data, size_t length) {
  napi_value buffer, view;
  void *copy;
  if (napi_create_arraybuffer(env, length, &copy, &buffer) != napi_ok ||
      napi_create_typedarray(env, napi_uint8_array, length, buffer, 0, &view) != napi_ok) {
    return NULL;
  }
  if (length > 0) memcpy(copy, data, length);
  return view;
}

/* [family, type, protocol, sockaddr, canonname | null] for each entry of the list. */
static napi_value found_entries(napi_env env, const struct addrinfo *list) {
  napi_value result;
  uint32_t count = 0;
  if (napi_create_array(env, &result) != napi_ok) return NULL;
  for (const struct addrinfo *item = list; item != NULL; item = item->ai_next) {
    napi_value entry;
    if (napi_create_array_with_length(env, 5, &entry) != napi_ok ||
        !set(env, entry, 0, number(env, item->ai_family)) || !set(env, entry, 1, number(env, item->ai_socktype)) ||
        !set(env, entry, 2, number(env, item->ai_protocol)) ||
        !set(env, entry, 3, bytes(env, item->ai_addr, item->ai_addrlen)) ||
        !set(env, entry, 4, text_or_null(env, item->ai_canonname)) || !set(env, result, count++, entry)) {
      return NULL;
    }
  }
  return result;
}

static napi_value found_names(napi_env env, const struct lookup *lookup) {
  napi_value result;
  if (napi_create_array_with_length(env, 2, &result) != napi_ok ||
      !set(env, result, 0, text_or_null(env, lookup->name)) || !set(env, result, 1, text_or_null(env, lookup->port))) {
    return NULL;
  }
  return result;
}

/* callback(status, errno, result): status is 0 or an EAI_ number; errno counts with EAI_SYSTEM. */
static void answer(napi_env env, struct lookup *lookup, napi_value result) {
  if (result != NULL) {
    napi_value arguments[3] = {number(env, lookup->status), number(env, lookup->error), result};
    call_back(env, lookup->callback, 3, arguments);
  }
  free_lookup(env, lookup);
}

static void run_getaddrinfo(napi_env env, void *data) {
  (void)env;
  struct lookup *lookup = data;
  lookup->status = getaddrinfo(lookup->host, lookup->service, &lookup->hints, &lookup->found);
  lookup->error = lookup->status == EAI_SYSTEM ? errno : 0;
}

static napi_value null_value(napi_env env) {
  napi_value value;
  return napi_get_null(env, &value) == napi_ok ? value : NULL;
}

static void end_getaddrinfo(napi_env env, napi_status status, void *data) {
  struct lookup *lookup = data;
  if (status != napi_ok && lookup->status == 0) lookup->status = EAI_AGAIN;
  answer(env, lookup, lookup->status == 0 ? found_entries(env, lookup->found) : null_value(env));
}

static void run_getnameinfo(napi_env env, void *data) {
  (void)env;
  struct lookup *lookup = data;
  lookup->status = getnameinfo((struct sockaddr *)&lookup->address, lookup->address_length, lookup->name,
                               sizeof lookup->name, lookup->port, sizeof lookup->port, lookup->flags);
  lookup->error = lookup->status == EAI_SYSTEM ? errno : 0;
}

static void end_getnameinfo(napi_env env, napi_status status, void *data) {
  struct lookup *lookup = data;
  if (status != napi_ok && lookup->status == 0) lookup->status = EAI_AGAIN;
  answer(env, lookup, lookup->status == 0 ? found_names(env, lookup) : null_value(env));
}

static napi_value queue(const struct args *args, size_t callback, struct lookup *lookup, const char *name,
                        napi_async_execute_callback run, napi_async_complete_callback end) {
  napi_env env = args->env;
  napi_value resource_name;
  napi_valuetype type;
  if (callback >= args->count || napi_typeof(env, args->values[callback], &type) != napi_ok || type != napi_function) {
    napi_throw_type_error(env, NULL, "a native call takes a function here");
  } else if (napi_create_reference(env, args->values[callback], 1, &lookup->callback) == napi_ok &&
             napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &resource_name) == napi_ok &&
             napi_create_async_work(env, NULL, resource_name, run, end, lookup, &lookup->work) == napi_ok &&
             napi_queue_async_work(env, lookup->work) == napi_ok) {
    return number(env, 0);
  }
  free_lookup(env, lookup);
  bool pending = false;
  napi_is_exception_pending(env, &pending);
  return pending ? NULL : number(env, -ENOMEM);
}

/* getaddrinfo(host | null, service | null, family, type, protocol, flags, callback) */
static napi_value call_getaddrinfo(napi_env env, napi_callback_info info) {
  struct args args;
  if (!read_args(env, info, 7, &args)) return NULL;
  struct lookup *lookup = calloc(1, sizeof *lookup);
  if (lookup == NULL) return number(env, -ENOMEM);
  struct addrinfo *hints = &lookup->hints;
  if (!arg_text(&args, 0, &lookup->host) || !arg_text(&args, 1, &lookup->service) ||
      !arg_i32(&args, 2, &hints->ai_family) || !arg_i32(&args, 3, &hints->ai_socktype) ||
      !arg_i32(&args, 4, &hints->ai_protocol) || !arg_i32(&args, 5, &hints->ai_flags)) {
    free_lookup(env, lookup);
    return NULL;
  }
  return queue(&args, 6, lookup, "getaddrinfo", run_getaddrinfo, end_getaddrinfo);
}

/* getnameinfo(address, flags, callback) */
static napi_value call_getnameinfo(napi_env env, napi_callback_info info) {
  struct args args;
  if (!read_args(env, info, 3, &args)) return NULL;
  struct lookup *lookup = calloc(1, sizeof *lookup);
  if (lookup == NULL) return number(env, -ENOMEM);
  const struct sockaddr *address;
  if (!arg_address(&args, 0, &address, &lookup->address_length) || !arg_i32(&args, 1, &lookup->flags)) {
    free_lookup(env, lookup);
    return NULL;
  }
  if (lookup->address_length > 0) memcpy(&lookup->address, address, lookup->address_length);
  return queue(&args, 2, lookup, "getnameinfo", run_getnameinfo, end_getnameinfo);
}

/* gaiStrerror(status) -> text */
static napi_value call_gai_strerror(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t status;
  if (!read_args(env, info, 1, &args) || !arg_i32(&args, 0, &status)) return NULL;
  return text_or_null(env, gai_strerror(status));
}

/* if_nametoindex(name) -> index | -errno */
static napi_value call_if_nametoindex(napi_env env, napi_callback_info info) {
  struct args args;
  char *name;
  if (!read_args(env, info, 1, &args) || !arg_text(&args, 0, &name)) return NULL;
  if (name == NULL) return number(env, -ENODEV);
  unsigned int index = if_nametoindex(name);
  int error = errno;
  free(name);
  return number(env, index == 0 ? -error : (int64_t)index);
}

/* if_indextoname(index) -> name | -errno */
static napi_value call_if_indextoname(napi_env env, napi_callback_info info) {
  struct args args;
  uint32_t index;
  char name[IF_NAMESIZE];
  if (!read_args(env, info, 1, &args) || !arg_u32(&args, 0, &index)) return NULL;
  if (if_indextoname(index, name) == NULL) return number(env, -errno);
  return text_or_null(env, name);
}

/* if_nameindex() -> [index, name, index, name, …] | -errno */
static napi_value call_if_nameindex(napi_env env, napi_callback_info info) {
  (void)info;
  napi_value result;
  uint32_t count = 0;
  struct if_nameindex *list = if_nameindex();
  if (list == NULL) return number(env, -errno);
  bool good = napi_create_array(env, &result) == napi_ok;
  for (struct if_nameindex *item = list; good && item->if_index != 0; item++) {
    good = set(env, result, count++, number(env, item->if_index)) &&
           set(env, result, count++, text_or_null(env, item->if_name));
  }
  if_freenameindex(list);
  return good ? result : NULL;
}

/* gethostname() -> text | -errno */
static napi_value call_gethostname(napi_env env, napi_callback_info info) {
  (void)info;
  char name[NI_MAXHOST];
  if (gethostname(name, sizeof name) < 0) return number(env, -errno);
  name[sizeof name - 1] = '\0';
  return text_or_null(env, name);
}

bool init_names(napi_env env, napi_value exports) {
  static const struct entry entries[] = {
      {"getaddrinfo", call_getaddrinfo},       {"getnameinfo", call_getnameinfo},
      {"gaiStrerror", call_gai_strerror},      {"if_nametoindex", call_if_nametoindex},
      {"if_indextoname", call_if_indextoname}, {"if_nameindex", call_if_nameindex},
      {"gethostname", call_gethostname},
  };
  return EXPORT_ALL(env, exports, entries);
}
