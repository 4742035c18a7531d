/* Which server gets a new connection. */
#pragma once

#include "service.h"

/* Servers looked at for the fewest connections; beyond that many, a window that moves on. */
#define SCAN 128

INLINE u64 mix(u64 hash, u64 value)
{
	hash = (hash ^ value) * 0x9e3779b97f4a7c15ULL;
	return hash ^ hash >> 29;
}

/* No seed: every balancer with the same table makes the same choice, which is what lets connections outlive one. */
INLINE u32 hash_of(const struct address *address, u32 port, u32 turn)
{
	u64 hash = mix(0, (u64)address->word[0] << 32 | address->word[1]);

	hash = mix(hash, (u64)address->word[2] << 32 | address->word[3]);
	hash = mix(hash, (u64)turn << 32 | port);
	return hash >> 32;
}

/* Keeps to the thresholds: full at the upper one, and again free below the lower one. Without a lower one, IPVS takes
 * three quarters of the upper. */
INLINE int is_full(struct server *server, struct load *load)
{
	u32 lower;

	if (!server->upper)
		return 0;
	if (load->full) {
		lower = server->lower ? server->lower : server->upper - server->upper / 4;
		if (load->active < lower)
			load->full = 0;
	} else if (load->active >= server->upper) {
		load->full = 1;
	}
	return load->full != 0;
}

/* The number of a server that may have one more, or 0. */
NOINLINE u32 if_free(u32 id)
{
	struct server *server = bpf_map_lookup_elem(&servers, &id);
	struct load *load;

	if (!server || !server->weight)
		return 0;
	load = bpf_map_lookup_elem(&loads, &id);
	if (!load || is_full(server, load))
		return 0;
	return id;
}

INLINE u32 ring_entry(void *ring, u32 index)
{
	u32 *entry;

	index += RING_ENTRIES;
	entry = bpf_map_lookup_elem(ring, &index);
	return entry ? *entry : 0;
}

/* Connections for weight, for comparison by a.cost * b.weight < b.cost * a.weight. As IPVS has it, one that is ending
 * counts a 256th. */
INLINE u64 cost(u32 choice, struct load *load)
{
	if (choice == CHOICE_SHORTEST_DELAY || choice == CHOICE_NEVER_QUEUE)
		return (u64)load->active + 1;
	return (u64)load->active * 256 + load->inactive;
}

/* The best server so far, while a ring is gone through. */
struct search {
	u64 cost;
	u32 best;
	u32 weight;
	u32 service;
	u32 choice;
};

/* Looks at one server; whether the search is over. */
NOINLINE static u32 consider(struct search *search, u32 index)
{
	void *ring = bpf_map_lookup_elem(&rings, &search->service);
	struct server *server;
	struct load *load;
	u32 id, weight;
	u64 this_cost;

	if (!ring)
		return 1;
	id = ring_entry(ring, index);
	server = bpf_map_lookup_elem(&servers, &id);
	if (!server || !server->weight)
		return 0;
	load = bpf_map_lookup_elem(&loads, &id);
	if (!load || is_full(server, load))
		return 0;
	if (search->choice == CHOICE_OVERFLOW && load->active >= server->weight)
		return 0;
	if (search->choice >= CHOICE_FIRST || (search->choice == CHOICE_NEVER_QUEUE && !load->active)) {
		search->best = id;
		return 1;
	}
	this_cost = cost(search->choice, load);
	weight = search->choice == CHOICE_LEAST ? 1 : server->weight;
	if (!search->best || this_cost * search->weight < search->cost * weight) {
		search->best = id;
		search->cost = this_cost;
		search->weight = weight;
	}
	return 0;
}

/* A function of its own, so that the verifier goes through its loop once. The body of the loop is another one: Linux 6.1
 * takes no loop whose first instruction is reached by falling into it, which is how larger bodies get laid out. */
NOINLINE u32 scan(u32 service, u32 choice, u32 start, u32 length)
{
	struct search search = { .service = service, .choice = choice, .weight = 1 };

#pragma clang loop unroll(disable)
	for (u32 i = 0; i < SCAN && i < length; i++) {
		u32 index = start + i;

		if (consider(&search, index >= length ? index - length : index))
			break;
	}
	return search.best;
}

/* What the ring says for this packet, at the given attempt, if that server is free. */
NOINLINE static u32 attempt(struct packet *packet, struct service *service, u32 *cursor, u32 length, u32 turn)
{
	void *ring = bpf_map_lookup_elem(&rings, &service->id);
	u32 hash;

	if (!ring || !length)
		return 0;
	if (service->choice == CHOICE_CYCLE)
		hash = __sync_fetch_and_add(cursor, 1);
	else if (service->choice == CHOICE_DESTINATION)
		hash = hash_of(&packet->key.destination, 0, turn);
	else
		hash = hash_of(&packet->key.source, service->flags & SERVICE_HASH_PORT ? packet->key.source_port : 0, turn);
	return if_free(ring_entry(ring, hash % length));
}

NOINLINE static u32 choose(struct packet *packet, struct service *service)
{
	u32 *length, *cursor, key = RING_LENGTH, id;
	void *ring = bpf_map_lookup_elem(&rings, &service->id);

	if (!ring)
		return 0;
	length = bpf_map_lookup_elem(ring, &key);
	if (!length || !*length)
		return 0;
	key = RING_CURSOR;
	cursor = bpf_map_lookup_elem(ring, &key);
	if (!cursor)
		return 0;
	if (service->choice >= CHOICE_LEAST) {
		/* In the order of the configuration for those where order counts or all are seen; else from where the last one
		 * left off. */
		u32 start = *length <= SCAN || service->choice >= CHOICE_FIRST ? 0 : *cursor % *length;

		if (*length > SCAN)
			*cursor = start + SCAN;
		return scan(service->id, service->choice, start, *length);
	}
	id = attempt(packet, service, cursor, *length, 0);
	if (id || (service->choice != CHOICE_CYCLE && !(service->flags & SERVICE_FALLBACK)))
		return id;
	id = attempt(packet, service, cursor, *length, 1);
	if (!id)
		id = attempt(packet, service, cursor, *length, 2);
	if (!id)
		id = attempt(packet, service, cursor, *length, 3);
	if (!id)
		id = scan(service->id, CHOICE_FIRST, hash_of(&packet->key.source, 0, 4) % *length, *length);
	return id;
}
