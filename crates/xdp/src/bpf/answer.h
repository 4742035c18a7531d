/* ICMP errors of our own: a packet has come too far, or does not fit into a tunnel. The packet in hand becomes the answer,
 * sent back to where it came from, with the virtual address as its source. */
#pragma once

#include "checksum.h"

/* What is quoted: IPv4 header and 8 bytes (RFC 792), and the same idea for IPv6. */
#define QUOTE_V4 28
#define QUOTE_V6 88

struct answer_v4 {
	struct ipv4 ip;
	struct icmp icmp;
};

struct pseudo_v6 {
	struct address source;
	struct address destination;
	u32 length;
	u32 next;
};

struct answer_v6 {
	struct ipv6 ip;
	struct icmp icmp;
};

INLINE void swap_ethernet(struct ethernet *to, struct ethernet *from)
{
	__builtin_memcpy(to->destination, from->source, 6);
	__builtin_memcpy(to->source, from->destination, 6);
	to->type = from->type;
}

NOINLINE int answer_v4(struct xdp_md *ctx, u32 type, u32 code, u32 mtu)
{
	int excess = (int)(ctx->data_end - ctx->data) - (ETHERNET + QUOTE_V4);
	struct ethernet *ethernet, *old;
	struct answer_v4 *answer;
	struct ipv4 *ip;

	/* With options the quote would be longer; those packets end here. */
	ip = at(ctx, ETHERNET, QUOTE_V4);
	if (!ip || ip->version_length != 0x45 || excess < 0)
		return XDP_DROP;
	if (bpf_xdp_adjust_tail(ctx, -excess) || bpf_xdp_adjust_head(ctx, -(int)sizeof(*answer)))
		return XDP_DROP;
	old = at(ctx, sizeof(*answer), ETHERNET + QUOTE_V4);
	ethernet = at(ctx, 0, ETHERNET + sizeof(*answer) + QUOTE_V4);
	if (!old || !ethernet)
		return XDP_DROP;
	swap_ethernet(ethernet, old);
	answer = (void *)ethernet + ETHERNET;
	ip = (void *)old + ETHERNET;
	answer->ip.version_length = 0x45;
	answer->ip.service = 0;
	answer->ip.length = SWAP16(sizeof(*answer) + QUOTE_V4);
	answer->ip.identification = 0;
	answer->ip.fragment = 0;
	answer->ip.ttl = 64;
	answer->ip.protocol = PROTOCOL_ICMP;
	answer->ip.checksum = 0;
	answer->ip.source = ip->destination;
	answer->ip.destination = ip->source;
	answer->ip.checksum = ~fold(bpf_csum_diff(NULL, 0, (u32 *)&answer->ip, sizeof(answer->ip), 0));
	answer->icmp.type = type;
	answer->icmp.code = code;
	answer->icmp.checksum = 0;
	answer->icmp.unused = 0;
	answer->icmp.mtu = SWAP16(mtu);
	answer->icmp.checksum = ~fold(bpf_csum_diff(NULL, 0, (u32 *)&answer->icmp, sizeof(answer->icmp) + QUOTE_V4, 0));
	return XDP_TX;
}

NOINLINE int answer_v6(struct xdp_md *ctx, u32 type, u32 mtu)
{
	int excess = (int)(ctx->data_end - ctx->data) - (ETHERNET + QUOTE_V6);
	struct ethernet *ethernet, *old;
	struct pseudo_v6 pseudo = {};
	struct answer_v6 *answer;
	struct ipv6 *ip;
	s64 sum;

	if (excess < 0)
		return XDP_DROP;
	if (bpf_xdp_adjust_tail(ctx, -excess) || bpf_xdp_adjust_head(ctx, -(int)sizeof(*answer)))
		return XDP_DROP;
	old = at(ctx, sizeof(*answer), ETHERNET + QUOTE_V6);
	ethernet = at(ctx, 0, ETHERNET + sizeof(*answer) + QUOTE_V6);
	if (!old || !ethernet)
		return XDP_DROP;
	swap_ethernet(ethernet, old);
	answer = (void *)ethernet + ETHERNET;
	ip = (void *)old + ETHERNET;
	answer->ip.version_class_label = SWAP32(0x60000000);
	answer->ip.length = SWAP16(sizeof(answer->icmp) + QUOTE_V6);
	answer->ip.next = PROTOCOL_ICMPV6;
	answer->ip.hops = 64;
	answer->ip.source = ip->destination;
	answer->ip.destination = ip->source;
	pseudo.source = ip->destination;
	pseudo.destination = ip->source;
	pseudo.length = SWAP32(sizeof(answer->icmp) + QUOTE_V6);
	pseudo.next = SWAP32(PROTOCOL_ICMPV6);
	answer->icmp.type = type;
	answer->icmp.code = 0;
	answer->icmp.checksum = 0;
	answer->icmp.unused = 0;
	answer->icmp.mtu = SWAP16(mtu);
	sum = bpf_csum_diff(NULL, 0, (u32 *)&pseudo, sizeof(pseudo), 0);
	answer->icmp.checksum = ~fold(bpf_csum_diff(NULL, 0, (u32 *)&answer->icmp, sizeof(answer->icmp) + QUOTE_V6, sum));
	return XDP_TX;
}

INLINE int too_big(struct xdp_md *ctx, struct packet *packet, u32 mtu)
{
	happened(EVENT_TOO_BIG);
	return packet->family == FAMILY_V4 ? answer_v4(ctx, 3, 4, mtu) : answer_v6(ctx, 2, mtu);
}

INLINE int too_far(struct xdp_md *ctx, struct packet *packet)
{
	happened(EVENT_TTL);
	/* No error about an error (RFC 1122, 3.2.2; RFC 4443, 2.4), nor about a later fragment. */
	if (packet->flags & (PACKET_ERROR | PACKET_LATER))
		return XDP_DROP;
	return packet->family == FAMILY_V4 ? answer_v4(ctx, 11, 0, 0) : answer_v6(ctx, 3, 0);
}
