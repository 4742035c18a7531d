/* Which server a packet belongs to: the one that its connection has, or else a new one. */
#pragma once

#include "schedule.h"

INLINE void load_add(u32 id, int active, int inactive)
{
	struct load *load = bpf_map_lookup_elem(&loads, &id);

	if (!load)
		return;
	/* Never below zero: the plane may have recounted in between. */
	if (active > 0 || (active < 0 && load->active))
		__sync_fetch_and_add(&load->active, active);
	if (inactive > 0 || (inactive < 0 && load->inactive))
		__sync_fetch_and_add(&load->inactive, inactive);
}

INLINE u64 timeout(struct packet *packet, struct settings *settings, u32 state)
{
	if (packet->key.protocol != PROTOCOL_TCP)
		return settings->udp_timeout;
	return state == FLOW_CLOSING ? settings->closing_timeout : settings->tcp_timeout;
}

/* Keeps to what the connection has become by this packet. Only the client's half is seen, as with direct routing and
 * tunnels the answers go another way. */
INLINE void advance(struct packet *packet, struct flow *flow)
{
	flow->seen = packet->now;
	if (packet->key.protocol != PROTOCOL_TCP || flow->state == FLOW_CLOSING)
		return;
	if (packet->tcp_flags & (TCP_FIN | TCP_RST)) {
		flow->state = FLOW_CLOSING;
		load_add(flow->server, -1, 1);
	} else if (flow->state == FLOW_NEW && !(packet->tcp_flags & TCP_SYN)) {
		flow->state = FLOW_OPEN;
	}
}

INLINE void client_key(struct packet *packet, struct service *service)
{
	u32 bits = service->prefix;

	packet->client_key.service = service->id;
#pragma unroll
	for (int i = 0; i < 4; i++) {
		u32 mask = bits >= 32 ? 0xffffffff : bits == 0 ? 0 : SWAP32(0xffffffffu << (32 - bits));

		packet->client_key.address.word[i] = packet->key.source.word[i] & mask;
		bits = bits >= 32 ? bits - 32 : 0;
	}
}

/* The server that this client had, where the service cares. A server that is drained gets no new connections from its
 * clients either. */
INLINE u32 persistent(struct packet *packet, struct service *service)
{
	struct client *client;
	struct server *server;

	client_key(packet, service);
	client = bpf_map_lookup_elem(&clients, &packet->client_key);
	if (!client || client->until < packet->now)
		return 0;
	server = bpf_map_lookup_elem(&servers, &client->server);
	if (!server || !server->weight)
		return 0;
	client->until = packet->now + service->persistence * 1000000000ULL;
	return client->server;
}

INLINE u32 new_server(struct packet *packet, struct service *service)
{
	u32 id;

	if (!service->persistence)
		return choose(packet, service);
	id = persistent(packet, service);
	if (id)
		return id;
	id = choose(packet, service);
	if (!id)
		return 0;
	packet->client.until = packet->now + service->persistence * 1000000000ULL;
	packet->client.server = id;
	packet->client.pad = 0;
	if (bpf_map_update_elem(&clients, &packet->client_key, &packet->client, BPF_ANY))
		happened(EVENT_TABLE_FULL);
	return id;
}

/* Whether a packet begins a connection in place of the one its addresses had before. */
INLINE int begins_again(struct packet *packet, struct flow *flow)
{
	return packet->key.protocol == PROTOCOL_TCP && flow->state == FLOW_CLOSING &&
	       (packet->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

/* The number of a packet's server where the table of flows does not say it, or 0. */
INLINE u32 server_without_flow(struct packet *packet, struct service *service, struct flow *flow)
{
	u32 id;

	if (packet->flags & PACKET_ERROR)
		return service->choice <= CHOICE_DESTINATION && !service->persistence ? choose(packet, service) : 0;
	if (flow)
		load_add(flow->server, flow->state == FLOW_CLOSING ? 0 : -1, flow->state == FLOW_CLOSING ? -1 : 0);
	id = new_server(packet, service);
	if (!id)
		return 0;
	packet->flow.seen = packet->now;
	packet->flow.server = id;
	packet->flow.state = FLOW_NEW;
	load_add(id, 1, 0);
	count_connection(id);
	advance(packet, &packet->flow);
	if (bpf_map_update_elem(&flows, &packet->key, &packet->flow, BPF_ANY))
		happened(EVENT_TABLE_FULL);
	return id;
}

/* The server and its number. */
INLINE struct server *server_for(struct packet *packet, struct service *service, struct settings *settings, u32 *id)
{
	struct server *server;
	struct flow *flow;

	if (service->flags & SERVICE_ONE_PACKET && packet->key.protocol == PROTOCOL_UDP) {
		*id = choose(packet, service);
		return bpf_map_lookup_elem(&servers, id);
	}
	flow = bpf_map_lookup_elem(&flows, &packet->key);
	if (flow && flow->seen + timeout(packet, settings, flow->state) > packet->now && !begins_again(packet, flow)) {
		*id = flow->server;
		server = bpf_map_lookup_elem(&servers, id);
		if (server) {
			/* An error says nothing about the life of the connection, and anybody can forge one. */
			if (!(packet->flags & PACKET_ERROR))
				advance(packet, flow);
			return server;
		}
	}
	*id = server_without_flow(packet, service, flow);
	return bpf_map_lookup_elem(&servers, id);
}
