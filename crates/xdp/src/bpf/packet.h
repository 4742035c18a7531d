/* A packet as the program knows it, and how it is taken apart.
 *
 * Pointers into a packet cannot be kept across calls, so a packet is offsets, and `at` gives a checked pointer for an
 * offset when one is needed. What does not fit (a header beyond MAX_OFFSET, a VLAN tag, a length that lies) is none of
 * ours: it goes up to the kernel as it came. */
#pragma once

#include "maps.h"

#define ETHERNET 14
#define ETHERTYPE_V4 0x0800
#define ETHERTYPE_V6 0x86dd
#define MAX_OFFSET 0xff
#define MAX_EXTENSIONS 4

struct ethernet {
	u8 destination[6];
	u8 source[6];
	u16 type;
};

struct ipv4 {
	u8 version_length;
	u8 service;
	u16 length;
	u16 identification;
	u16 fragment;
	u8 ttl;
	u8 protocol;
	u16 checksum;
	u32 source;
	u32 destination;
};

struct ipv6 {
	u32 version_class_label;
	u16 length;
	u8 next;
	u8 hops;
	struct address source;
	struct address destination;
};

struct ports {
	u16 source;
	u16 destination;
};

struct tcp {
	u16 source;
	u16 destination;
	u32 sequence;
	u32 acknowledgement;
	u8 offset;
	u8 flags;
	u16 window;
	u16 checksum;
	u16 urgent;
};

enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_ACK = 16 };

struct udp {
	u16 source;
	u16 destination;
	u16 length;
	u16 checksum;
};

struct icmp {
	u8 type;
	u8 code;
	u16 checksum;
	u16 unused;
	u16 mtu;
};

enum packet_flag {
	PACKET_FRAGMENT = 1, /* a part of a datagram */
	PACKET_LATER = 2, /* one without ports */
	PACKET_ERROR = 4, /* an ICMP error; the key is that of the flow which it is about */
};

/* Everything known about the packet in hand. One for each processor, since the stack is small. */
struct packet {
	struct flow_key key; /* client to virtual address */
	struct service_key service_key;
	struct fragment_key fragment;
	u32 length; /* of the IP packet */
	u32 l4; /* offset of the header behind IP */
	u32 inner; /* offset of the IP header within an error */
	u32 inner_l4;
	u8 family;
	u8 protocol; /* of the packet itself */
	u8 flags;
	u8 tcp_flags;
	u32 inner_checksum_known;
	u64 now;
	/* Kept here for want of stack. */
	struct flow flow;
	struct reply reply;
	struct fragment part;
	struct client_key client_key;
	struct client client;
};

struct {
	MAP_NUMBER(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	MAP_NUMBER(max_entries, 1);
	MAP_TYPE(key, u32);
	MAP_TYPE(value, struct packet);
} scratch SECTION(".maps");

/* `size` bytes of the packet from `offset`, or nothing. */
INLINE void *at(struct xdp_md *ctx, u32 offset, u32 size)
{
	void *start = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;

	if (offset > MAX_OFFSET)
		return NULL;
	/* The compiler must not forget the bound that the verifier has just been shown. */
	asm volatile("" : "+r"(offset));
	offset &= MAX_OFFSET;
	if (start + offset + size > end)
		return NULL;
	return start + offset;
}

INLINE void address_v4(struct address *address, u32 word)
{
	address->word[0] = 0;
	address->word[1] = 0;
	address->word[2] = SWAP32(0xffff);
	address->word[3] = word;
}

INLINE int same_address(const struct address *a, const struct address *b)
{
	return a->word[0] == b->word[0] && a->word[1] == b->word[1] && a->word[2] == b->word[2] && a->word[3] == b->word[3];
}

enum parsed { PARSED, NOT_OURS };

INLINE int parse_v4(struct xdp_md *ctx, struct packet *packet)
{
	struct ipv4 *ip = at(ctx, ETHERNET, sizeof(*ip));
	u32 header, length, fragment;

	if (!ip || ip->version_length >> 4 != 4)
		return NOT_OURS;
	header = (ip->version_length & 15) * 4;
	length = SWAP16(ip->length);
	if (header < sizeof(*ip) || length < header)
		return NOT_OURS;
	if (length > (u32)(ctx->data_end - ctx->data) - ETHERNET)
		return NOT_OURS;
	packet->family = FAMILY_V4;
	packet->protocol = ip->protocol;
	packet->length = length;
	packet->l4 = ETHERNET + header;
	address_v4(&packet->key.source, ip->source);
	address_v4(&packet->key.destination, ip->destination);
	fragment = SWAP16(ip->fragment);
	if (fragment & 0x3fff) {
		packet->flags |= PACKET_FRAGMENT;
		if (fragment & 0x1fff)
			packet->flags |= PACKET_LATER;
		packet->fragment.identification = ip->identification;
	}
	return PARSED;
}

struct extension {
	u8 next;
	u8 length;
	u16 fragment;
	u32 identification;
};

enum { EXTENSION_HOPS = 0, EXTENSION_ROUTING = 43, EXTENSION_FRAGMENT = 44, EXTENSION_DESTINATION = 60 };

/* RFC 8200, 4: extension headers. A routing header with stops left is for the kernel. */
INLINE int skip_extensions(struct xdp_md *ctx, struct packet *packet)
{
	struct extension *extension;

#pragma unroll
	for (int i = 0; i < MAX_EXTENSIONS; i++) {
		if (packet->protocol != EXTENSION_HOPS && packet->protocol != EXTENSION_FRAGMENT &&
		    packet->protocol != EXTENSION_DESTINATION)
			return PARSED;
		extension = at(ctx, packet->l4, sizeof(*extension));
		if (!extension)
			return NOT_OURS;
		if (packet->protocol == EXTENSION_FRAGMENT) {
			/* A datagram in one fragment (RFC 6946) is whole. */
			if (extension->fragment & SWAP16(0xfff9)) {
				packet->flags |= PACKET_FRAGMENT;
				if (extension->fragment & SWAP16(0xfff8))
					packet->flags |= PACKET_LATER;
			}
			packet->fragment.identification = extension->identification;
			packet->l4 += 8;
		} else {
			packet->l4 += 8 + extension->length * 8;
		}
		packet->protocol = extension->next;
		if (packet->flags & PACKET_LATER)
			return PARSED;
	}
	return NOT_OURS;
}

INLINE int parse_v6(struct xdp_md *ctx, struct packet *packet)
{
	struct ipv6 *ip = at(ctx, ETHERNET, sizeof(*ip));
	u32 length;

	if (!ip || (ip->version_class_label & SWAP32(0xf0000000)) != SWAP32(0x60000000))
		return NOT_OURS;
	length = sizeof(*ip) + SWAP16(ip->length);
	if (length > (u32)(ctx->data_end - ctx->data) - ETHERNET)
		return NOT_OURS;
	packet->family = FAMILY_V6;
	packet->protocol = ip->next;
	packet->length = length;
	packet->l4 = ETHERNET + sizeof(*ip);
	packet->key.source = ip->source;
	packet->key.destination = ip->destination;
	return skip_extensions(ctx, packet);
}

/* The packet that an error carries is one that a server sent: its source is the virtual address. */
INLINE int parse_error(struct xdp_md *ctx, struct packet *packet)
{
	struct ports *ports;

	packet->inner = packet->l4 + sizeof(struct icmp);
	if (packet->family == FAMILY_V4) {
		struct ipv4 *ip = at(ctx, packet->inner, sizeof(*ip));
		u32 header;

		if (!ip || ip->version_length >> 4 != 4 || ip->fragment & SWAP16(0x1fff))
			return NOT_OURS;
		header = (ip->version_length & 15) * 4;
		if (header < sizeof(*ip))
			return NOT_OURS;
		packet->inner_l4 = packet->inner + header;
		packet->key.protocol = ip->protocol;
		address_v4(&packet->key.source, ip->destination);
		address_v4(&packet->key.destination, ip->source);
	} else {
		struct ipv6 *ip = at(ctx, packet->inner, sizeof(*ip));

		if (!ip || (ip->version_class_label & SWAP32(0xf0000000)) != SWAP32(0x60000000))
			return NOT_OURS;
		packet->inner_l4 = packet->inner + sizeof(*ip);
		packet->key.protocol = ip->next;
		packet->key.source = ip->destination;
		packet->key.destination = ip->source;
	}
	if (packet->key.protocol != PROTOCOL_TCP && packet->key.protocol != PROTOCOL_UDP &&
	    packet->key.protocol != PROTOCOL_SCTP)
		return NOT_OURS;
	ports = at(ctx, packet->inner_l4, sizeof(*ports));
	if (!ports)
		return NOT_OURS;
	packet->key.source_port = ports->destination;
	packet->key.destination_port = ports->source;
	packet->flags |= PACKET_ERROR;
	return PARSED;
}

/* Whether the ICMP message is an error (RFC 792; RFC 4443, 2.1: types below 128). */
INLINE int is_error(struct xdp_md *ctx, struct packet *packet)
{
	struct icmp *icmp = at(ctx, packet->l4, sizeof(*icmp));

	if (!icmp)
		return 0;
	if (packet->family == FAMILY_V6)
		return icmp->type < 128;
	return icmp->type == 3 || icmp->type == 11 || icmp->type == 12;
}

INLINE int parse_l4(struct xdp_md *ctx, struct packet *packet)
{
	struct ports *ports;

	if (packet->protocol == PROTOCOL_TCP && !(packet->flags & PACKET_FRAGMENT)) {
		struct tcp *tcp = at(ctx, packet->l4, sizeof(*tcp));

		if (!tcp)
			return NOT_OURS;
		packet->tcp_flags = tcp->flags;
	} else if (packet->protocol == PROTOCOL_UDP) {
		if (!at(ctx, packet->l4, sizeof(struct udp)))
			return NOT_OURS;
	}
	ports = at(ctx, packet->l4, sizeof(*ports));
	if (!ports)
		return NOT_OURS;
	packet->key.source_port = ports->source;
	packet->key.destination_port = ports->destination;
	return PARSED;
}

/* Fills everything that the packet itself tells. */
INLINE int parse(struct xdp_md *ctx, struct packet *packet)
{
	struct ethernet *ethernet = at(ctx, 0, sizeof(*ethernet));
	int parsed;

	if (!ethernet)
		return NOT_OURS;
	packet->flags = 0;
	packet->tcp_flags = 0;
	packet->key.pad = 0;
	if (ethernet->type == SWAP16(ETHERTYPE_V4))
		parsed = parse_v4(ctx, packet);
	else if (ethernet->type == SWAP16(ETHERTYPE_V6))
		parsed = parse_v6(ctx, packet);
	else
		return NOT_OURS;
	if (parsed != PARSED)
		return NOT_OURS;
	packet->key.protocol = packet->protocol;
	packet->key.family = packet->family;
	if (packet->protocol == PROTOCOL_TCP || packet->protocol == PROTOCOL_UDP || packet->protocol == PROTOCOL_SCTP)
		return packet->flags & PACKET_LATER ? PARSED : parse_l4(ctx, packet);
	if (packet->flags & PACKET_FRAGMENT)
		return NOT_OURS;
	if (packet->protocol != (packet->family == FAMILY_V4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6) || !is_error(ctx, packet))
		return NOT_OURS;
	return parse_error(ctx, packet);
}
