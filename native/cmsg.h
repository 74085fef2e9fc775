/* Control messages of received messages. */
#ifndef BERKELEY_CMSG_H
#define BERKELEY_CMSG_H

#include "addon.h"

#include <sys/socket.h>

/* In the kernel since 6.5, in the headers of C libraries later. */
#ifndef SCM_PIDFD
#define SCM_PIDFD 0x04
#endif

/*
 * The next control message, or NULL. CMSG_NXTHDR() of some C libraries compares signed with unsigned numbers, and does
 * not check that cmsg_len stays inside the control data.
 */
static inline struct cmsghdr *next_control(const struct msghdr *message, struct cmsghdr *control) {
  size_t left = (size_t)message->msg_controllen - (size_t)((uint8_t *)control - (uint8_t *)message->msg_control);
  size_t length = control->cmsg_len;
  if (length < sizeof *control || length > left) return NULL;
  size_t step = (length + sizeof(size_t) - 1) & ~(sizeof(size_t) - 1);
  if (step > left || left - step < sizeof *control) return NULL;
  return (struct cmsghdr *)((uint8_t *)control + step);
}

static inline bool carries_descriptors(const struct cmsghdr *control) {
  return control->cmsg_level == SOL_SOCKET && (control->cmsg_type == SCM_RIGHTS || control->cmsg_type == SCM_PIDFD);
}

/*
 * Whether a receiving call failed (see errno) because of MSG_CMSG_CLOEXEC. If so, the caller calls again without the
 * flag. A packet socket refuses every flag that it does not support, and never delivers descriptors. For other sockets
 * this returns false, because EINVAL has other causes there. Does not change errno.
 */
bool refuses_cloexec(int fd);

#endif
