/* Sending a packet on: the hop count, the frame, and out of the right interface. */
#pragma once

#include "answer.h"

/* One hop fewer; nothing when none is left. */
INLINE int hop(struct xdp_md *ctx, struct packet *packet)
{
	if (packet->family == FAMILY_V4) {
		struct ipv4 *ip = at(ctx, ETHERNET, sizeof(*ip));

		if (!ip || ip->ttl <= 1)
			return 0;
		/* The count is the first byte of its 16-bit word. */
		ip->checksum = changed(ip->checksum, change16(SWAP16(0x0100), 0));
		ip->ttl -= 1;
	} else {
		struct ipv6 *ip = at(ctx, ETHERNET, sizeof(*ip));

		if (!ip || ip->hops <= 1)
			return 0;
		ip->hops -= 1;
	}
	return 1;
}

INLINE int send(struct xdp_md *ctx, const u8 *mac, const u8 *source_mac, u32 ifindex)
{
	struct ethernet *ethernet = at(ctx, 0, sizeof(*ethernet));

	if (!ethernet) {
		happened(EVENT_FAILED);
		return XDP_DROP;
	}
	__builtin_memcpy(ethernet->destination, mac, 6);
	__builtin_memcpy(ethernet->source, source_mac, 6);
	return ifindex == ctx->ingress_ifindex ? XDP_TX : bpf_redirect(ifindex, 0);
}
