/* Relays: descriptors whose bytes the poller forwards without JavaScript. relay.c describes them and their table. */
#ifndef BERKELEY_RELAY_H
#define BERKELEY_RELAY_H

#include "addon.h"

/*
 * Slots of the reactor that have a relay. Each forwarded connection takes two. Unused entries of the table cost only
 * address space. src/reactor/relay.ts has the same number.
 */
#define MAX_RELAYS (1u << 16)
/* The number of relays in the table before the pipes. */
#define RELAYS_BEFORE_PIPES 1024u
#define RELAY_WORDS 10
#define RELAY_PIPES 16
#define RELAY_PIPE_WORDS 3
#define RELAY_TABLE_WORDS (MAX_RELAYS * RELAY_WORDS + RELAY_PIPES * RELAY_PIPE_WORDS)

struct relays {
  const struct addon *addon;
  int32_t *table;
  uint32_t budget; /* bytes that are left for this turn of the loop */
  uint32_t queue_start, queue_length;
  uint16_t queue[MAX_RELAYS]; /* slots of relays whose source may have more bytes */
};

/*
 * Handles an event of `token` with its relay, if there is one. Returns true when the event is handled completely.
 * Otherwise JavaScript must handle the events that are left in `*events`.
 */
bool relay_event(struct relays *relays, uint64_t token, uint32_t *events);
/*
 * Continues queued relays within the budget. Returns true when a relay has stopped, and stores its token: JavaScript
 * must handle it, and further relays may be queued. Returns false when the queue is empty or the budget is spent.
 */
bool relay_queued(struct relays *relays, uint64_t *token);

#endif
