/* Address translation: the destination on the way in, the source on the way back. */
#pragma once

#include "flow.h"
#include "forward.h"

INLINE int same_mac(const u8 *a, const u8 *b)
{
	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3] && a[4] == b[4] && a[5] == b[5];
}

/* Remembers where the request came from: the answer goes back the same way, whatever the routing table says. That needs
 * no forwarding in the kernel, which would refuse packets whose source is an address of its own. */
INLINE void remember_reply(struct xdp_md *ctx, struct packet *packet, u32 service, u32 id, struct server *server)
{
	struct ethernet *ethernet = at(ctx, 0, sizeof(*ethernet));
	struct flow_key key = {};
	struct reply *reply;

	if (!ethernet)
		return;
	key.source = server->address;
	key.destination = packet->key.source;
	key.source_port = server->port ? server->port : packet->key.destination_port;
	key.destination_port = packet->key.source_port;
	key.protocol = packet->key.protocol;
	key.family = packet->key.family;
	packet->reply.seen = packet->now;
	packet->reply.address = packet->key.destination;
	packet->reply.service = service;
	packet->reply.server = id;
	packet->reply.ifindex = ctx->ingress_ifindex;
	packet->reply.port = packet->key.destination_port;
	__builtin_memcpy(packet->reply.mac, ethernet->source, 6);
	__builtin_memcpy(packet->reply.source_mac, ethernet->destination, 6);
	packet->reply.pad = 0;
	reply = bpf_map_lookup_elem(&replies, &key);
	if (reply && reply->service == service && reply->port == packet->reply.port &&
	    same_address(&reply->address, &packet->reply.address) && reply->ifindex == packet->reply.ifindex &&
	    same_mac(reply->mac, packet->reply.mac)) {
		reply->seen = packet->now;
		return;
	}
	if (bpf_map_update_elem(&replies, &key, &packet->reply, BPF_ANY))
		happened(EVENT_TABLE_FULL);
}

/* Replaces one address of the IP header; what that adds to the sums over it. */
INLINE u64 rewrite_ip(struct xdp_md *ctx, u32 offset, u32 family, int is_source, const struct address *to)
{
	if (family == FAMILY_V4) {
		struct ipv4 *ip = at(ctx, offset, sizeof(*ip));
		u64 change;

		if (!ip)
			return 0;
		if (is_source) {
			change = change32(ip->source, to->word[3]);
			ip->source = to->word[3];
		} else {
			change = change32(ip->destination, to->word[3]);
			ip->destination = to->word[3];
		}
		ip->checksum = changed(ip->checksum, change);
		return change;
	} else {
		struct ipv6 *ip = at(ctx, offset, sizeof(*ip));
		struct address *address;
		u64 change;

		if (!ip)
			return 0;
		address = is_source ? &ip->source : &ip->destination;
		change = change_address(address, to);
		*address = *to;
		return change;
	}
}

/* Replaces one port, and brings the checksum up to date. Enough of the header is there: parsing looked. */
INLINE void rewrite_l4(struct xdp_md *ctx, u32 offset, u32 protocol, int is_source, u16 port, u64 change)
{
	struct ports *ports = at(ctx, offset, sizeof(*ports));
	u16 *place;

	if (!ports)
		return;
	place = is_source ? &ports->source : &ports->destination;
	change += change16(*place, port);
	*place = port;
	if (protocol == PROTOCOL_TCP) {
		struct tcp *tcp = at(ctx, offset, sizeof(*tcp));

		if (tcp)
			tcp->checksum = changed(tcp->checksum, change);
	} else if (protocol == PROTOCOL_UDP) {
		struct udp *udp = at(ctx, offset, sizeof(*udp));

		if (udp)
			udp->checksum = changed_udp(udp->checksum, change);
	}
}

/* An error about a packet that seemed to come from the virtual address must reach the server as one about its own packet
 * (RFC 5508, 4.2). The quoted packet changes at its source; the sum of the error covers it. */
INLINE void rewrite_error(struct xdp_md *ctx, struct packet *packet, struct server *server, u16 port, u64 outer)
{
	struct icmp *icmp;
	struct ports *ports;
	u64 change, sum = 0;

	change = rewrite_ip(ctx, packet->inner, packet->family, 1, &server->address);
	ports = at(ctx, packet->inner_l4, sizeof(*ports));
	if (!ports)
		return;
	sum += change16(ports->source, port);
	change += change16(ports->source, port);
	ports->source = port;
	if (packet->key.protocol == PROTOCOL_UDP) {
		struct udp *udp = at(ctx, packet->inner_l4, sizeof(*udp));

		if (udp && udp->checksum) {
			u16 checksum = changed_udp(udp->checksum, change);

			sum += change16(udp->checksum, checksum);
			udp->checksum = checksum;
		}
	} else if (packet->key.protocol == PROTOCOL_TCP) {
		struct tcp *tcp = at(ctx, packet->inner_l4, sizeof(*tcp));

		if (tcp) {
			u16 checksum = changed(tcp->checksum, change);

			sum += change16(tcp->checksum, checksum);
			tcp->checksum = checksum;
		}
	}
	icmp = at(ctx, packet->l4, sizeof(*icmp));
	if (!icmp)
		return;
	/* The quoted IPv4 header sums to what it did, as its own checksum makes up for the address; an IPv6 header has none,
	 * and the sum of an ICMPv6 message covers the addresses of the packet, too. */
	if (packet->family == FAMILY_V6)
		sum += outer + change_address(&packet->key.destination, &server->address);
	icmp->checksum = changed(icmp->checksum, sum);
}

INLINE int forward_nat(struct xdp_md *ctx, struct packet *packet, u32 service, u32 id, struct server *server)
{
	u16 port = server->port ? server->port : packet->key.destination_port;
	u64 change;

	if (!(packet->flags & (PACKET_ERROR | PACKET_LATER)))
		remember_reply(ctx, packet, service, id, server);
	change = rewrite_ip(ctx, ETHERNET, packet->family, 0, &server->address);
	if (packet->flags & PACKET_ERROR)
		rewrite_error(ctx, packet, server, port, change);
	else if (!(packet->flags & PACKET_LATER))
		rewrite_l4(ctx, packet->l4, packet->protocol, 0, port, change);
	return send(ctx, server->mac, server->source_mac, server->ifindex);
}

/* A packet of a server to its client, which knows the virtual address only. */
NOINLINE static int forward_reply(struct xdp_md *ctx, struct packet *packet, struct reply *reply)
{
	u64 change;

	if (!hop(ctx, packet))
		return too_far(ctx, packet);
	reply->seen = packet->now;
	change = rewrite_ip(ctx, ETHERNET, packet->family, 1, &reply->address);
	if (!(packet->flags & PACKET_LATER))
		rewrite_l4(ctx, packet->l4, packet->protocol, 1, reply->port, change);
	count_out(reply->server, packet->length);
	return send(ctx, reply->mac, reply->source_mac, reply->ifindex);
}
