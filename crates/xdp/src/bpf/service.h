/* Which service a packet is for. */
#pragma once

#include "packet.h"

INLINE struct service *find_service(struct packet *packet)
{
	struct service *service;

	packet->service_key.address = packet->key.destination;
	packet->service_key.port = packet->key.destination_port;
	packet->service_key.protocol = packet->key.protocol;
	packet->service_key.family = packet->key.family;
	service = bpf_map_lookup_elem(&services, &packet->service_key);
	if (service)
		return service;
	packet->service_key.port = 0;
	return bpf_map_lookup_elem(&services, &packet->service_key);
}

/* Everything is counted for servers; what a service counts is the sum of its servers, which the plane makes. */
INLINE void count_in(u32 id, u32 bytes)
{
	struct counts *counts = bpf_map_lookup_elem(&server_counts, &id);

	if (counts) {
		counts->packets_in += 1;
		counts->bytes_in += bytes;
	}
}

INLINE void count_out(u32 id, u32 bytes)
{
	struct counts *counts = bpf_map_lookup_elem(&server_counts, &id);

	if (counts) {
		counts->packets_out += 1;
		counts->bytes_out += bytes;
	}
}

INLINE void count_connection(u32 id)
{
	struct counts *counts = bpf_map_lookup_elem(&server_counts, &id);

	if (counts)
		counts->connections += 1;
}

/* Whether another director, having chosen this host as a real server, sent the packet. Balancing it again could send it
 * round for ever. */
INLINE int is_from_director(struct xdp_md *ctx)
{
	struct ethernet *ethernet = at(ctx, 0, sizeof(*ethernet));
	struct mac_key key = {};

	if (!ethernet)
		return 0;
	__builtin_memcpy(key.mac, ethernet->source, sizeof(key.mac));
	return bpf_map_lookup_elem(&directors, &key) != NULL;
}
