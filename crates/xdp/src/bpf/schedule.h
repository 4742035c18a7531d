/* Which server gets a new connection. */
#pragma once

#include "service.h"

/* Servers looked at for the fewest connections; beyond that many, a window that moves on. */
#define SCAN 128
#define RETRIES 8

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
INLINE u32 if_free(u32 id)
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

/* A function of its own, so that the verifier goes through its loop once. */
NOINLINE u32 scan(u32 service, u32 choice, u32 start, u32 length)
{
	u64 best_cost = 0, this_cost;
	u32 best = 0, best_weight = 1, id, index, weight;
	struct server *server;
	struct load *load;
	void *ring;

#pragma clang loop unroll(disable)
	for (u32 i = 0; i < SCAN; i++) {
		if (i >= length)
			break;
		index = start + i;
		if (index >= length)
			index -= length;
		ring = bpf_map_lookup_elem(&rings, &service);
		if (!ring)
			return 0;
		id = ring_entry(ring, index);
		server = bpf_map_lookup_elem(&servers, &id);
		if (!server || !server->weight)
			continue;
		load = bpf_map_lookup_elem(&loads, &id);
		if (!load || is_full(server, load))
			continue;
		if (choice == CHOICE_FIRST)
			return id;
		if (choice == CHOICE_OVERFLOW) {
			if (load->active < server->weight)
				return id;
			continue;
		}
		if (choice == CHOICE_NEVER_QUEUE && !load->active)
			return id;
		this_cost = cost(choice, load);
		weight = choice == CHOICE_LEAST ? 1 : server->weight;
		if (!best || this_cost * best_weight < best_cost * weight) {
			best = id;
			best_cost = this_cost;
			best_weight = weight;
		}
	}
	return best;
}

INLINE u32 choose(struct packet *packet, struct service *service)
{
	u32 *length, *cursor, key = RING_LENGTH, n, id, hash, port;
	void *ring = bpf_map_lookup_elem(&rings, &service->id);

	if (!ring)
		return 0;
	length = bpf_map_lookup_elem(ring, &key);
	if (!length || !*length)
		return 0;
	n = *length;
	key = RING_CURSOR;
	cursor = bpf_map_lookup_elem(ring, &key);
	if (!cursor)
		return 0;
	if (service->choice >= CHOICE_LEAST) {
		/* In the order of the configuration for those where order counts or all are seen; else from where the last one
		 * left off. */
		u32 start = n <= SCAN || service->choice >= CHOICE_FIRST ? 0 : *cursor % n;

		if (n > SCAN)
			*cursor = start + SCAN;
		return scan(service->id, service->choice, start, n);
	}
	port = service->flags & SERVICE_HASH_PORT ? packet->key.source_port : 0;
#pragma clang loop unroll(disable)
	for (u32 turn = 0; turn < RETRIES; turn++) {
		if (service->choice == CHOICE_CYCLE)
			hash = __sync_fetch_and_add(cursor, 1);
		else if (service->choice == CHOICE_DESTINATION)
			hash = hash_of(&packet->key.destination, 0, turn);
		else
			hash = hash_of(&packet->key.source, port, turn);
		id = if_free(ring_entry(ring, hash % n));
		if (id)
			return id;
		if (service->choice != CHOICE_CYCLE && !(service->flags & SERVICE_FALLBACK))
			return 0;
	}
	return 0;
}
