/* Fragments: only the first one has ports, so where it went is kept for those after it. One that comes before its first
 * goes up to the kernel as it is. */
#pragma once

#include "packet.h"

#define FRAGMENT_TIMEOUT 30000000000ULL

INLINE void fragment_key(struct packet *packet)
{
	packet->fragment.source = packet->key.source;
	packet->fragment.destination = packet->key.destination;
	packet->fragment.protocol = packet->key.protocol;
	packet->fragment.family = packet->key.family;
	packet->fragment.pad = 0;
}

INLINE void remember_fragment(struct packet *packet, u32 service, u32 server, struct reply *reply)
{
	fragment_key(packet);
	packet->part.seen = packet->now;
	packet->part.server = server;
	packet->part.service = service;
	packet->part.is_reply = reply != NULL;
	packet->part.pad = 0;
	if (reply)
		packet->part.reply = *reply;
	if (bpf_map_update_elem(&fragments, &packet->fragment, &packet->part, BPF_ANY))
		happened(EVENT_TABLE_FULL);
}

INLINE struct fragment *find_fragment(struct packet *packet)
{
	struct fragment *fragment;

	fragment_key(packet);
	fragment = bpf_map_lookup_elem(&fragments, &packet->fragment);
	if (!fragment || fragment->seen + FRAGMENT_TIMEOUT < packet->now)
		return NULL;
	return fragment;
}
