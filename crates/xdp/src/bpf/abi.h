/* What the program and the plane share: the values of the maps. The Rust side is crates/xdp/src/abi.rs; a test compares
 * sizes and offsets with the debugging information of the object. Addresses are 16 bytes in network order, IPv4 ones
 * mapped (::ffff:a.b.c.d). Ports are in network order. Times are nanoseconds of the monotonic clock. */
#pragma once

#include "kernel.h"

/* Raised whenever a layout below or a meaning changes: a plane adopts the maps of an earlier run only if it is equal. */
#define ABI_VERSION 2

enum family { FAMILY_V4 = 4, FAMILY_V6 = 6 };

enum protocol {
	PROTOCOL_ICMP = 1,
	PROTOCOL_IPIP = 4,
	PROTOCOL_TCP = 6,
	PROTOCOL_UDP = 17,
	PROTOCOL_IPV6 = 41,
	PROTOCOL_GRE = 47,
	PROTOCOL_ICMPV6 = 58,
	PROTOCOL_SCTP = 132,
};

struct address {
	u32 word[4];
};

struct service_key {
	struct address address;
	u16 port; /* 0: every port */
	u8 protocol;
	u8 family;
};

/* How the ring of a service is read. */
enum choice {
	CHOICE_SOURCE = 1, /* by a hash of the client */
	CHOICE_DESTINATION = 2, /* by a hash of the virtual address */
	CHOICE_CYCLE = 3, /* one after another */
	CHOICE_LEAST = 4, /* the fewest connections */
	CHOICE_LEAST_WEIGHTED = 5, /* for their weight */
	CHOICE_SHORTEST_DELAY = 6, /* counting the one that comes */
	CHOICE_NEVER_QUEUE = 7, /* the same, but an idle one first */
	CHOICE_FIRST = 8, /* the first that takes one */
	CHOICE_OVERFLOW = 9, /* the first with fewer connections than its weight */
};

enum service_flag {
	SERVICE_ONE_PACKET = 1, /* every datagram by itself */
	SERVICE_HASH_PORT = 2, /* the client's port is hashed too */
	SERVICE_FALLBACK = 4, /* a full server is passed over */
};

struct service {
	u32 id;
	u32 flags;
	u8 choice;
	u8 scheduler; /* for the plane: what the configuration says */
	u8 prefix; /* of the client's address as 16 bytes, for persistence */
	u8 scheduler_flags; /* for the plane */
	u32 persistence; /* seconds; 0: none */
};

/* The ring of a service is an array of numbers: how many entries, the next one to take, and then the servers' numbers. */
enum { RING_LENGTH = 0, RING_CURSOR = 1, RING_ENTRIES = 2 };

enum method {
	METHOD_DIRECT = 1,
	METHOD_NAT = 2,
	METHOD_IPIP = 3,
	METHOD_GUE = 4,
	METHOD_GRE = 5,
};

enum server_flag {
	SERVER_REACHABLE = 1, /* mac, source_mac, ifindex and source are known */
	SERVER_LOCAL = 2, /* it is this host */
};

struct server {
	u32 service;
	u32 weight; /* 0: keeps what it has */
	u32 upper;
	u32 lower;
	struct address address;
	struct address source; /* of the outer packet */
	u32 ifindex;
	u16 port;
	u16 tunnel_port;
	u8 mac[6]; /* where frames for it go */
	u8 source_mac[6];
	u8 family;
	u8 method;
	u8 flags;
	u8 pad;
	u32 mtu; /* largest inner packet */
};

/* How busy a server is, as the program counts and the plane corrects. */
struct load {
	u32 active;
	u32 inactive;
	u32 full;
	u32 pad;
};

struct flow_key {
	struct address source;
	struct address destination;
	u16 source_port;
	u16 destination_port;
	u8 protocol;
	u8 family;
	u16 pad;
};

enum flow_state { FLOW_NEW = 0, FLOW_OPEN = 1, FLOW_CLOSING = 2 };

struct flow {
	u64 seen;
	u32 server;
	u32 state;
};

/* The way back of a translated flow; its key is that of the packets that the server sends. */
struct reply {
	u64 seen;
	struct address address;
	u32 service;
	u32 server;
	u32 ifindex;
	u16 port;
	u8 mac[6]; /* where the request came from */
	u8 source_mac[6]; /* and to */
	u16 pad;
};

struct client_key {
	u32 service;
	struct address address;
};

struct client {
	u64 until;
	u32 server;
	u32 pad;
};

struct fragment_key {
	struct address source;
	struct address destination;
	u32 identification;
	u8 protocol;
	u8 family;
	u16 pad;
};

/* Where the first fragment went, for those that follow it. */
struct fragment {
	u64 seen;
	u32 server;
	u32 service;
	u32 is_reply;
	u32 pad;
	struct reply reply;
};

struct counts {
	u64 connections;
	u64 packets_in;
	u64 bytes_in;
	u64 packets_out;
	u64 bytes_out;
};

struct settings {
	u32 abi;
	u32 next_id; /* for the plane */
	u64 tcp_timeout;
	u64 closing_timeout;
	u64 udp_timeout;
	u32 n_directors; /* none: nobody looks for them */
	u32 pad;
};

struct mac_key {
	u8 mac[6];
	u16 pad;
};

/* What happened to packets that did not go where they were meant to, or did in a special way. */
enum event {
	EVENT_NO_SERVER, /* dropped: no server takes a connection */
	EVENT_UNREACHABLE, /* dropped: the server's hardware address is not known yet */
	EVENT_FROM_DIRECTOR, /* passed up: another director chose this host */
	EVENT_ORPHAN_FRAGMENT, /* passed up: the first one was not seen */
	EVENT_TOO_BIG, /* answered: does not fit into the tunnel */
	EVENT_TTL, /* answered: has come too far */
	EVENT_TABLE_FULL, /* a table took no entry; the packet went on */
	EVENT_FAILED, /* dropped: the kernel had no room for a header */
	N_EVENTS,
};
