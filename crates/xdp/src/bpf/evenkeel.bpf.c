/* evenkeel's layer-4 data plane, for XDP.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0 (the object declares the equivalent that the kernel knows)
 *
 *   packet -> parse -> service? -- no --> answer of a translated server? -- no --> up to the kernel, as it came
 *                         |                        | yes
 *                         v                        v
 *              the connection's server,    source becomes the virtual address,
 *              or else a new one           back to where the request came from
 *                         |
 *                         v
 *              frame (DR), outer packet (TUN), destination (NAT) -> out
 */
#include "fragment.h"
#include "nat.h"
#include "tunnel.h"

NOINLINE static int forward(struct xdp_md *ctx, struct packet *packet, u32 service, u32 id, struct server *server)
{
	count_in(id, packet->length);
	if (server->flags & SERVER_LOCAL)
		return XDP_PASS;
	if (!(server->flags & SERVER_REACHABLE)) {
		happened(EVENT_UNREACHABLE);
		return XDP_DROP;
	}
	if (!hop(ctx, packet))
		return too_far(ctx, packet);
	switch (server->method) {
	case METHOD_DIRECT:
		return send(ctx, server->mac, server->source_mac, server->ifindex);
	case METHOD_NAT:
		return forward_nat(ctx, packet, service, id, server);
	default:
		return forward_tunnel(ctx, packet, server);
	}
}

INLINE int later_fragment(struct xdp_md *ctx, struct packet *packet)
{
	struct fragment *fragment = find_fragment(packet);
	struct server *server;

	if (!fragment) {
		happened(EVENT_ORPHAN_FRAGMENT);
		return XDP_PASS;
	}
	if (fragment->is_reply)
		return forward_reply(ctx, packet, &fragment->reply);
	server = bpf_map_lookup_elem(&servers, &fragment->server);
	if (!server) {
		happened(EVENT_NO_SERVER);
		return XDP_DROP;
	}
	return forward(ctx, packet, fragment->service, fragment->server, server);
}

INLINE int reply_or_pass(struct xdp_md *ctx, struct packet *packet)
{
	struct reply *reply;

	if (packet->flags & PACKET_ERROR)
		return XDP_PASS;
	reply = bpf_map_lookup_elem(&replies, &packet->key);
	if (!reply)
		return XDP_PASS;
	if (packet->flags & PACKET_FRAGMENT)
		remember_fragment(packet, reply->service, reply->server, reply);
	return forward_reply(ctx, packet, reply);
}

SECTION("xdp")
int evenkeel(struct xdp_md *ctx)
{
	struct settings *setting;
	struct service *service;
	struct server *server;
	struct packet *packet;
	u32 zero = 0, id;

	packet = bpf_map_lookup_elem(&scratch, &zero);
	setting = bpf_map_lookup_elem(&settings, &zero);
	if (!packet || !setting || parse(ctx, packet) != PARSED)
		return XDP_PASS;
	packet->now = bpf_ktime_get_coarse_ns();
	if (packet->flags & PACKET_LATER)
		return later_fragment(ctx, packet);
	service = find_service(packet);
	if (!service)
		return reply_or_pass(ctx, packet);
	if (setting->n_directors && is_from_director(ctx)) {
		happened(EVENT_FROM_DIRECTOR);
		return XDP_PASS;
	}
	server = server_for(packet, service, setting, &id);
	if (!server) {
		happened(EVENT_NO_SERVER);
		return XDP_DROP;
	}
	if (packet->flags & PACKET_FRAGMENT)
		remember_fragment(packet, service->id, id, NULL);
	return forward(ctx, packet, service->id, id, server);
}

/* The name under which the kernel lets a program use what it keeps for free software. */
SECTION("license") char license_name[] = "Dual MIT/GPL";
