/*
 * Lookups for which no descriptor is free.
 *
 * A lookup opens files (hosts(5), nsswitch.conf(5)) and sockets. If no descriptor is free, the C library continues
 * without the file or socket. In the end it reports that the name is unknown, or that the failure is temporary. So the
 * addon tests before each lookup, and after a failed one, whether a descriptor is free.
 */
#include "lookups.h"

#include <errno.h>
#include <netdb.h>
#include <sys/eventfd.h>
#include <unistd.h>

int descriptor_shortage(void) {
  int fd = eventfd(0, EFD_CLOEXEC);
  if (fd >= 0) close(fd);
  return fd < 0 && (errno == EMFILE || errno == ENFILE) ? errno : 0;
}

/* Whether the C library may return this status because no descriptor was free. */
static bool may_be_shortage(int status) {
  switch (status) {
    case EAI_NONAME:
    case EAI_AGAIN:
    case EAI_FAIL:
    case EAI_SERVICE:
    case EAI_SYSTEM:
#ifdef EAI_NODATA
    case EAI_NODATA:
#endif
      return true;
    default:
      return false;
  }
}

int lookup_outcome(int status, int *error, int shortage) {
  if (!may_be_shortage(status)) return status;
  if (*error == EMFILE || *error == ENFILE) shortage = *error;
  if (shortage == 0) shortage = descriptor_shortage();
  if (shortage == 0) return status;
  *error = shortage;
  return EAI_SYSTEM;
}
