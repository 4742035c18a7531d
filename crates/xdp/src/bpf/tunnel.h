/* Packets within packets: IP in IP (RFC 2003, 2473, 4213), generic UDP encapsulation without checksum, GRE (RFC 2784). */
#pragma once

#include "forward.h"

#define TUNNEL_TTL 64

struct gre {
	u16 flags;
	u16 type;
};

/* Version, type and length of the header are all zero: data follows, and then which protocol it is. */
struct gue {
	u8 version_length;
	u8 protocol;
	u16 flags;
};

struct gue_header {
	struct udp udp;
	struct gue gue;
};

INLINE u32 tunnel_header(u32 method)
{
	return method == METHOD_GUE ? sizeof(struct gue_header) : method == METHOD_GRE ? sizeof(struct gre) : 0;
}

INLINE u8 protocol_of(u32 family)
{
	return family == FAMILY_V4 ? PROTOCOL_IPIP : PROTOCOL_IPV6;
}

INLINE u8 outer_protocol(u32 method, u32 family)
{
	return method == METHOD_GUE ? PROTOCOL_UDP : method == METHOD_GRE ? PROTOCOL_GRE : protocol_of(family);
}

/* What stands between the outer IP header and the packet. The port tells flows apart for those who spread by ports. */
INLINE void write_tunnel(void *at, struct packet *packet, struct server *server)
{
	if (server->method == METHOD_GRE) {
		struct gre *gre = at;

		gre->flags = 0;
		gre->type = packet->family == FAMILY_V4 ? SWAP16(ETHERTYPE_V4) : SWAP16(ETHERTYPE_V6);
	} else if (server->method == METHOD_GUE) {
		struct gue_header *header = at;
		u32 hash = hash_of(&packet->key.source, (u32)packet->key.source_port, packet->key.destination_port);

		header->udp.source = SWAP16(0xc000 | (hash & 0x3fff));
		header->udp.destination = server->tunnel_port;
		header->udp.length = SWAP16(sizeof(*header) + packet->length);
		header->udp.checksum = 0;
		header->gue.version_length = 0;
		header->gue.protocol = protocol_of(packet->family);
		header->gue.flags = 0;
	}
}

/* The inner packet's differentiated services; those of the outer packet are the same (RFC 2983, the uniform model). */
INLINE u8 service_of(struct xdp_md *ctx, struct packet *packet)
{
	if (packet->family == FAMILY_V4) {
		struct ipv4 *ip = at(ctx, ETHERNET, sizeof(*ip));

		return ip ? ip->service : 0;
	} else {
		struct ipv6 *ip = at(ctx, ETHERNET, sizeof(*ip));

		return ip ? SWAP32(ip->version_class_label) >> 20 & 0xff : 0;
	}
}

/* A copy on the stack to compare addresses and lengths against is not needed: everything comes from maps. */
INLINE int tunnel_v4(struct xdp_md *ctx, struct packet *packet, struct server *server)
{
	u32 extra = tunnel_header(server->method);
	u8 service = service_of(ctx, packet);
	struct ethernet *ethernet;
	struct ipv4 *ip;

	if (bpf_xdp_adjust_head(ctx, -(int)(sizeof(*ip) + extra)))
		goto failed;
	ethernet = at(ctx, 0, ETHERNET + sizeof(*ip) + sizeof(struct gue_header));
	if (!ethernet)
		goto failed;
	ethernet->type = SWAP16(ETHERTYPE_V4);
	ip = (void *)ethernet + ETHERNET;
	ip->version_length = 0x45;
	ip->service = service;
	ip->length = SWAP16(sizeof(*ip) + extra + packet->length);
	ip->identification = 0;
	/* May not be fragmented, which is why the identification may be zero (RFC 6864, 4.1). */
	ip->fragment = SWAP16(0x4000);
	ip->ttl = TUNNEL_TTL;
	ip->protocol = outer_protocol(server->method, packet->family);
	ip->checksum = 0;
	ip->source = server->source.word[3];
	ip->destination = server->address.word[3];
	ip->checksum = ~fold(bpf_csum_diff(NULL, 0, (u32 *)ip, sizeof(*ip), 0));
	write_tunnel((void *)ip + sizeof(*ip), packet, server);
	return 1;
failed:
	happened(EVENT_FAILED);
	return 0;
}

INLINE int tunnel_v6(struct xdp_md *ctx, struct packet *packet, struct server *server)
{
	u32 extra = tunnel_header(server->method);
	u32 service = service_of(ctx, packet);
	struct ethernet *ethernet;
	struct ipv6 *ip;

	if (bpf_xdp_adjust_head(ctx, -(int)(sizeof(*ip) + extra)))
		goto failed;
	ethernet = at(ctx, 0, ETHERNET + sizeof(*ip) + sizeof(struct gue_header));
	if (!ethernet)
		goto failed;
	ethernet->type = SWAP16(ETHERTYPE_V6);
	ip = (void *)ethernet + ETHERNET;
	ip->version_class_label = SWAP32(0x60000000 | service << 20);
	ip->length = SWAP16(extra + packet->length);
	ip->next = outer_protocol(server->method, packet->family);
	ip->hops = TUNNEL_TTL;
	ip->source = server->source;
	ip->destination = server->address;
	write_tunnel((void *)ip + sizeof(*ip), packet, server);
	return 1;
failed:
	happened(EVENT_FAILED);
	return 0;
}

INLINE int forward_tunnel(struct xdp_md *ctx, struct packet *packet, struct server *server)
{
	int done;

	if (packet->length > server->mtu)
		return too_big(ctx, packet, server->mtu);
	done = server->family == FAMILY_V4 ? tunnel_v4(ctx, packet, server) : tunnel_v6(ctx, packet, server);
	return done ? send(ctx, server->mac, server->source_mac, server->ifindex) : XDP_DROP;
}
