/*
 * The resolver: getaddrinfo(3), getnameinfo(3), gethostbyname2_r(3) and gethostbyaddr_r(3).
 *
 * Each may take seconds. With a function as the last argument a question is asked on a thread of lookups.c and answered
 * through that function, and the call returns a ticket; without one it blocks this thread and the answer is what the call
 * returns. Both give the same three things: a status (0 or an EAI_ number, also for the calls whose own numbers are those of
 * h_errno), an errno, which counts with EAI_SYSTEM, and the result or null.
 */
#include "lookups.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A C library without it, such as musl, never stores it: then it only means "no attempt has stored a reason yet". */
#ifndef NETDB_INTERNAL
#define NETDB_INTERNAL (-1)
#endif

/* What the C library may want for the names and addresses of one host. */
#define ROOM_MAX (1 << 20)

/* The file that the C library looks names up in before it asks a server, where the system is set up so; hosts(5). */
#define HOSTS "/etc/hosts"

struct question {
  struct lookup lookup; /* first: each is taken for the other */
  void (*ask)(struct question *);
  napi_value (*result)(napi_env, const struct question *);
  /* what is asked */
  char *host, *service;
  struct addrinfo hints;
  struct sockaddr_storage address;
  socklen_t address_length;
  uint8_t raw[sizeof(struct in6_addr)];
  int family, flags;
  /* what is answered */
  int status, error;
  struct addrinfo *found;
  char name[NI_MAXHOST], port[NI_MAXSERV];
  struct hostent entry;
  char *room;
};

static void free_question(struct question *question) {
  if (question->found != NULL) freeaddrinfo(question->found);
  free(question->host);
  free(question->service);
  free(question->room);
  free(question);
}

static bool set(napi_env env, napi_value object, uint32_t index, napi_value value) {
  return value != NULL && napi_set_element(env, object, index, value) == napi_ok;
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

/* [status, errno, result | null] */
static bool answer(napi_env env, struct question *question, napi_value parts[3]) {
  if (question->status != 0 || (parts[2] = question->result(env, question)) == NULL) {
    bool pending = false;
    if (question->status == 0) question->status = EAI_MEMORY;
    if (napi_is_exception_pending(env, &pending) != napi_ok || pending) return false;
    if (napi_get_null(env, &parts[2]) != napi_ok) return false;
  }
  parts[0] = number(env, question->status);
  parts[1] = number(env, question->error);
  return parts[0] != NULL && parts[1] != NULL;
}

static napi_value ask_now(napi_env env, struct question *question) {
  napi_value parts[3], result = NULL;
  question->ask(question);
  if (answer(env, question, parts) &&
      (napi_create_array_with_length(env, 3, &result) != napi_ok || !set(env, result, 0, parts[0]) ||
       !set(env, result, 1, parts[1]) || !set(env, result, 2, parts[2]))) {
    result = NULL;
  }
  free_question(question);
  return result;
}

/* Asks now or, if there is a function at `callback`, on another thread. Owns the question in either case. */
static napi_value ask(const struct args *args, size_t callback, struct question *question) {
  napi_env env = args->env;
  napi_valuetype type;
  if (callback >= args->count) return ask_now(env, question);
  if (napi_typeof(env, args->values[callback], &type) != napi_ok || type != napi_function) {
    free_question(question);
    napi_throw_type_error(env, NULL, "a native call takes a function here");
    return NULL;
  }
  int64_t ticket = lookup_start(env, &question->lookup, args->values[callback]);
  if (ticket < 0) free_question(question);
  return number(env, ticket);
}

static void ask_lookup(struct lookup *lookup) {
  struct question *question = (struct question *)lookup;
  question->ask(question);
}

static void fail_lookup(struct lookup *lookup) { ((struct question *)lookup)->status = EAI_AGAIN; }

static bool answer_lookup(napi_env env, struct lookup *lookup, napi_value parts[3]) {
  return answer(env, (struct question *)lookup, parts);
}

static void discard_lookup(struct lookup *lookup) { free_question((struct question *)lookup); }

/* Whether a line of the file of hosts begins with the address, or has the name. */
static bool is_listed(const char *name, int family, const void *address, size_t length) {
  FILE *file = fopen(HOSTS, "re");
  char *line = NULL;
  size_t room = 0;
  bool found = false;
  if (file == NULL) return false;
  while (!found && getline(&line, &room, file) >= 0) {
    uint8_t bytes[sizeof(struct in6_addr)];
    char *rest = NULL;
    line[strcspn(line, "#")] = 0;
    const char *word = strtok_r(line, " \t\r\n", &rest);
    if (name == NULL) {
      found = word != NULL && inet_pton(family, word, bytes) == 1 && memcmp(bytes, address, length) == 0;
    } else if (word != NULL) {
      while (!found && (word = strtok_r(NULL, " \t\r\n", &rest)) != NULL) found = strcasecmp(word, name) == 0;
    }
  }
  free(line);
  fclose(file);
  return found;
}

/* Whether the C library can answer by itself. A guess that only decides which thread asks it. */
static bool is_local(const struct lookup *lookup) {
  const struct question *question = (const struct question *)lookup;
  struct in_addr unused;
  if (question->host != NULL) {
    return (question->hints.ai_flags & AI_NUMERICHOST) != 0 || strchr(question->host, ':') != NULL ||
           inet_aton(question->host, &unused) != 0 || is_listed(question->host, 0, NULL, 0);
  }
  if (question->family != 0) return is_listed(NULL, question->family, question->raw, question->address_length);
  const struct sockaddr *address = (const struct sockaddr *)&question->address;
  if ((question->flags & NI_NUMERICHOST) != 0) return true;
  if (address->sa_family == AF_INET) {
    return is_listed(NULL, AF_INET, &((const struct sockaddr_in *)address)->sin_addr, sizeof(struct in_addr));
  }
  if (address->sa_family == AF_INET6) {
    return is_listed(NULL, AF_INET6, &((const struct sockaddr_in6 *)address)->sin6_addr, sizeof(struct in6_addr));
  }
  /* getaddrinfo(3) without a host, and what getnameinfo(3) refuses. */
  return true;
}

static void ask_getaddrinfo(struct question *question) {
  question->status = getaddrinfo(question->host, question->service, &question->hints, &question->found);
  question->error = question->status == EAI_SYSTEM ? errno : 0;
}

/* [family, type, protocol, sockaddr, canonname | null] for each entry of the list. */
static napi_value found_entries(napi_env env, const struct question *question) {
  napi_value result;
  uint32_t count = 0;
  if (napi_create_array(env, &result) != napi_ok) return NULL;
  for (const struct addrinfo *item = question->found; item != NULL; item = item->ai_next) {
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

static void ask_getnameinfo(struct question *question) {
  question->status =
      getnameinfo((struct sockaddr *)&question->address, question->address_length, question->name,
                  sizeof question->name, question->port, sizeof question->port, question->flags);
  question->error = question->status == EAI_SYSTEM ? errno : 0;
}

/* [host, service] */
static napi_value found_names(napi_env env, const struct question *question) {
  napi_value result;
  if (napi_create_array_with_length(env, 2, &result) != napi_ok ||
      !set(env, result, 0, text_or_null(env, question->name)) ||
      !set(env, result, 1, text_or_null(env, question->port))) {
    return NULL;
  }
  return result;
}

/* h_errno has the same four reasons under numbers of its own. */
static int eai_of(int trouble) {
  switch (trouble) {
    case TRY_AGAIN: return EAI_AGAIN;
    case NO_RECOVERY: return EAI_FAIL;
#ifdef EAI_NODATA
    case NO_DATA: return EAI_NODATA;
#endif
    case NETDB_INTERNAL: return EAI_SYSTEM;
    default: return EAI_NONAME;
  }
}

/* By name if there is one, otherwise by address; again with more room as long as there is too little. */
static void ask_host(struct question *question) {
  int error = ERANGE, trouble = NETDB_INTERNAL;
  struct hostent *found = NULL;
  for (size_t size = 1024; error == ERANGE && found == NULL && size <= ROOM_MAX; size *= 2) {
    free(question->room);
    question->room = malloc(size);
    if (question->room == NULL) {
      question->status = EAI_MEMORY;
      return;
    }
    error = question->host != NULL ? gethostbyname2_r(question->host, question->family, &question->entry,
                                                      question->room, size, &found, &trouble)
                                   : gethostbyaddr_r(question->raw, question->address_length, question->family,
                                                     &question->entry, question->room, size, &found, &trouble);
  }
  if (found != NULL) return;
  question->status = eai_of(trouble);
  question->error = question->status == EAI_SYSTEM ? error : 0;
}

static napi_value texts(napi_env env, char *const *list) {
  napi_value result;
  uint32_t count = 0;
  if (napi_create_array(env, &result) != napi_ok) return NULL;
  for (; list != NULL && *list != NULL; list++) {
    if (!set(env, result, count++, text_or_null(env, *list))) return NULL;
  }
  return result;
}

/* [name, [alias, …], [bytes of an address, …]] */
static napi_value found_host(napi_env env, const struct question *question) {
  napi_value result, addresses;
  uint32_t count = 0;
  const struct hostent *entry = &question->entry;
  if (napi_create_array(env, &addresses) != napi_ok) return NULL;
  for (char *const *item = entry->h_addr_list; item != NULL && *item != NULL; item++) {
    if (!set(env, addresses, count++, bytes(env, *item, (size_t)entry->h_length))) return NULL;
  }
  if (napi_create_array_with_length(env, 3, &result) != napi_ok ||
      !set(env, result, 0, text_or_null(env, entry->h_name)) || !set(env, result, 1, texts(env, entry->h_aliases)) ||
      !set(env, result, 2, addresses)) {
    return NULL;
  }
  return result;
}

static struct question *new_question(void (*asking)(struct question *),
                                     napi_value (*result)(napi_env, const struct question *)) {
  struct question *question = calloc(1, sizeof *question);
  if (question == NULL) return NULL;
  question->lookup = (struct lookup){
      .ask = ask_lookup,
      .is_local = is_local,
      .fail = fail_lookup,
      .answer = answer_lookup,
      .discard = discard_lookup,
  };
  question->ask = asking;
  question->result = result;
  return question;
}

/* getaddrinfo(host | null, service | null, family, type, protocol, flags, callback?) */
static napi_value call_getaddrinfo(napi_env env, napi_callback_info info) {
  struct args args;
  if (!read_args(env, info, 6, &args)) return NULL;
  struct question *question = new_question(ask_getaddrinfo, found_entries);
  if (question == NULL) return number(env, -ENOMEM);
  struct addrinfo *hints = &question->hints;
  if (!arg_text(&args, 0, &question->host) || !arg_text(&args, 1, &question->service) ||
      !arg_i32(&args, 2, &hints->ai_family) || !arg_i32(&args, 3, &hints->ai_socktype) ||
      !arg_i32(&args, 4, &hints->ai_protocol) || !arg_i32(&args, 5, &hints->ai_flags)) {
    free_question(question);
    return NULL;
  }
  return ask(&args, 6, question);
}

/* getnameinfo(address, flags, callback?) */
static napi_value call_getnameinfo(napi_env env, napi_callback_info info) {
  struct args args;
  if (!read_args(env, info, 2, &args)) return NULL;
  struct question *question = new_question(ask_getnameinfo, found_names);
  if (question == NULL) return number(env, -ENOMEM);
  const struct sockaddr *address;
  if (!arg_address(&args, 0, &address, &question->address_length) || !arg_i32(&args, 1, &question->flags)) {
    free_question(question);
    return NULL;
  }
  if (question->address_length > 0) memcpy(&question->address, address, question->address_length);
  return ask(&args, 2, question);
}

/* gethostbyname(host, family, callback?) */
static napi_value call_gethostbyname(napi_env env, napi_callback_info info) {
  struct args args;
  if (!read_args(env, info, 2, &args)) return NULL;
  struct question *question = new_question(ask_host, found_host);
  if (question == NULL) return number(env, -ENOMEM);
  if (!arg_text(&args, 0, &question->host) || !arg_i32(&args, 1, &question->family)) {
    free_question(question);
    return NULL;
  }
  /* glibc asserts that it is one of these two. */
  if (question->host == NULL || (question->family != AF_INET && question->family != AF_INET6)) {
    free_question(question);
    return number(env, -EINVAL);
  }
  return ask(&args, 2, question);
}

/* gethostbyaddr(bytes, family, callback?) */
static napi_value call_gethostbyaddr(napi_env env, napi_callback_info info) {
  struct args args;
  uint8_t *raw;
  size_t length;
  if (!read_args(env, info, 2, &args)) return NULL;
  struct question *question = new_question(ask_host, found_host);
  if (question == NULL) return number(env, -ENOMEM);
  if (!arg_bytes(&args, 0, &raw, &length) || !arg_i32(&args, 1, &question->family)) {
    free_question(question);
    return NULL;
  }
  size_t required = question->family == AF_INET    ? sizeof(struct in_addr)
                    : question->family == AF_INET6 ? sizeof(struct in6_addr)
                                                   : 0;
  if (required == 0 || length != required) {
    free_question(question);
    return number(env, -EINVAL);
  }
  memcpy(question->raw, raw, length);
  question->address_length = (socklen_t)length;
  return ask(&args, 2, question);
}

/* gaiStrerror(status) -> text */
static napi_value call_gai_strerror(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t status;
  if (!read_args(env, info, 1, &args) || !arg_i32(&args, 0, &status)) return NULL;
  return text_or_null(env, gai_strerror(status));
}

bool init_names(napi_env env, napi_value exports) {
  static const struct entry entries[] = {
      {"getaddrinfo", call_getaddrinfo},     {"getaddrinfoSync", call_getaddrinfo},
      {"getnameinfo", call_getnameinfo},     {"getnameinfoSync", call_getnameinfo},
      {"gethostbyname", call_gethostbyname}, {"gethostbynameSync", call_gethostbyname},
      {"gethostbyaddr", call_gethostbyaddr}, {"gethostbyaddrSync", call_gethostbyaddr},
      {"gaiStrerror", call_gai_strerror},
  };
  return EXPORT_ALL(env, exports, entries);
}
