/*
 * Descriptors: which ones the environment owns (ownership.c), which ones others may use too (shared_fds.c), and the
 * alarm.
 */
#ifndef BERKELEY_DESCRIPTORS_H
#define BERKELEY_DESCRIPTORS_H

#include "addon.h"

/* ownership.c */
/* Grows the array so that it has an item at `index`. Returns false without memory. */
bool grow_array(struct u64_array *array, size_t index);
/* Records fd as owned by this environment. Returns fd, or -ENOMEM. */
int own(struct addon *addon, int fd);
/* Records a new descriptor as owned. On failure the descriptor is closed. */
int own_new(struct addon *addon, int fd);
/* Records two new descriptors as owned. Returns 0, or -ENOMEM with both closed. */
int own_new_pair(struct addon *addon, const int fds[2]);
void disown(struct addon *addon, int fd);
bool owns(const struct addon *addon, int fd);
void close_owned(struct addon *addon);

/* shared_fds.c */
/*
 * Records an owned descriptor as shared. Returns the identity of its file, a number above 0. Changes nothing on -errno.
 */
int64_t mark_shared(struct addon *addon, int fd);
bool has_identity(int fd, int64_t identity);
static inline bool is_shared(const struct addon *addon, int fd) {
  return (size_t)fd < addon->shared.length && addon->shared.items[fd] != 0;
}
/*
 * Whether other code has closed the number of a shared descriptor. The number is then free or belongs to another file.
 */
bool is_replaced(const struct addon *addon, int fd);
bool is_blocking(int fd);
/* Whether a call without MSG_DONTWAIT could block, because other code has cleared O_NONBLOCK. */
static inline bool may_block(const struct addon *addon, int fd) { return is_shared(addon, fd) && is_blocking(fd); }
/* poll(2) without waiting. Returns true for one of the events, an error or a hang-up. */
bool is_ready(int fd, short events);
void free_shared(struct addon *addon);

/* alarm.c */
/*
 * Between these two calls, a system call of this thread that blocks fails with EINTR after one millisecond.
 * start_alarm() returns 0, or -1 with errno set. stop_alarm() does not change errno.
 */
int start_alarm(struct addon *addon);
void stop_alarm(struct addon *addon);
void delete_alarm(struct addon *addon);

#endif
