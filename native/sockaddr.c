/* Reading and writing socket addresses. */
#include "sockaddr.h"

#include <string.h>

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

bool arg_address_buffer(const struct args *args, size_t index, uint8_t **buffer) {
  size_t size;
  if (!arg_bytes(args, index, buffer, &size)) return false;
  if (size < ADDRESS_BUFFER_SIZE) {
    napi_throw_range_error(
        args->env, NULL,
        "Cannot make a native call: address view is too short, required 4 + sizeof(struct sockaddr_storage)");
    return false;
  }
  return true;
}

void write_address(uint8_t *buffer, const struct sockaddr_storage *address, socklen_t length) {
  /*
   * A UNIX address may be one byte longer than the buffer. Then the kernel returns the full length and truncates the
   * address.
   */
  uint32_t stored = length > sizeof *address ? (uint32_t)sizeof *address : (uint32_t)length;
  memcpy(buffer, &stored, sizeof stored);
  memcpy(buffer + sizeof stored, address, stored);
}
