/* The maps. Those with numbers as keys hold an entry for each thing that the plane made; those with least-recently-used
 * eviction are filled by the program and bounded. */
#pragma once

#include "abi.h"

#define MAX_SERVICES 16384
#define MAX_SERVERS 131072
#define MAX_FLOWS 262144

struct {
	MAP_NUMBER(type, BPF_MAP_TYPE_ARRAY);
	MAP_NUMBER(max_entries, 1);
	MAP_TYPE(key, u32);
	MAP_TYPE(value, struct settings);
} settings SECTION(".maps");

struct {
	MAP_NUMBER(type, BPF_MAP_TYPE_HASH);
	MAP_NUMBER(max_entries, MAX_SERVICES);
	MAP_NUMBER(map_flags, BPF_F_NO_PREALLOC);
	MAP_TYPE(key, struct service_key);
	MAP_TYPE(value, struct service);
} services SECTION(".maps");

struct ring {
	MAP_NUMBER(type, BPF_MAP_TYPE_ARRAY);
	MAP_NUMBER(max_entries, 3);
	MAP_NUMBER(map_flags, BPF_F_INNER_MAP);
	MAP_TYPE(key, u32);
	MAP_TYPE(value, u32);
};

/* A ring is filled before it gets its place here, so a service changes from one set of servers to the next at once. */
struct {
	MAP_NUMBER(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	MAP_NUMBER(max_entries, MAX_SERVICES);
	MAP_NUMBER(map_flags, BPF_F_NO_PREALLOC);
	MAP_TYPE(key, u32);
	MAP_NUMBER(value_size, sizeof(u32));
	struct ring *values[];
} rings SECTION(".maps");

struct {
	MAP_NUMBER(type, BPF_MAP_TYPE_HASH);
	MAP_NUMBER(max_entries, MAX_SERVERS);
	MAP_NUMBER(map_flags, BPF_F_NO_PREALLOC);
	MAP_TYPE(key, u32);
	MAP_TYPE(value, struct server);
} servers SECTION(".maps");

struct {
	MAP_NUMBER(type, BPF_MAP_TYPE_HASH);
	MAP_NUMBER(max_entries, MAX_SERVERS);
	MAP_NUMBER(map_flags, BPF_F_NO_PREALLOC);
	MAP_TYPE(key, u32);
	MAP_TYPE(value, struct load);
} loads SECTION(".maps");

struct {
	MAP_NUMBER(type, BPF_MAP_TYPE_PERCPU_HASH);
	MAP_NUMBER(max_entries, MAX_SERVERS);
	MAP_NUMBER(map_flags, BPF_F_NO_PREALLOC);
	MAP_TYPE(key, u32);
	MAP_TYPE(value, struct counts);
} server_counts SECTION(".maps");

/* For the plane: what the servers of a service counted that are gone. */
struct {
	MAP_NUMBER(type, BPF_MAP_TYPE_HASH);
	MAP_NUMBER(max_entries, MAX_SERVICES);
	MAP_NUMBER(map_flags, BPF_F_NO_PREALLOC);
	MAP_TYPE(key, u32);
	MAP_TYPE(value, struct counts);
} retired_counts SECTION(".maps");

struct {
	MAP_NUMBER(type, BPF_MAP_TYPE_LRU_HASH);
	MAP_NUMBER(max_entries, MAX_FLOWS);
	MAP_TYPE(key, struct flow_key);
	MAP_TYPE(value, struct flow);
} flows SECTION(".maps");

struct {
	MAP_NUMBER(type, BPF_MAP_TYPE_LRU_HASH);
	MAP_NUMBER(max_entries, MAX_FLOWS);
	MAP_TYPE(key, struct flow_key);
	MAP_TYPE(value, struct reply);
} replies SECTION(".maps");

struct {
	MAP_NUMBER(type, BPF_MAP_TYPE_LRU_HASH);
	MAP_NUMBER(max_entries, 65536);
	MAP_TYPE(key, struct client_key);
	MAP_TYPE(value, struct client);
} clients SECTION(".maps");

struct {
	MAP_NUMBER(type, BPF_MAP_TYPE_LRU_HASH);
	MAP_NUMBER(max_entries, 8192);
	MAP_TYPE(key, struct fragment_key);
	MAP_TYPE(value, struct fragment);
} fragments SECTION(".maps");

struct {
	MAP_NUMBER(type, BPF_MAP_TYPE_HASH);
	MAP_NUMBER(max_entries, 64);
	MAP_NUMBER(map_flags, BPF_F_NO_PREALLOC);
	MAP_TYPE(key, struct mac_key);
	MAP_TYPE(value, u32);
} directors SECTION(".maps");

struct {
	MAP_NUMBER(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	MAP_NUMBER(max_entries, N_EVENTS);
	MAP_TYPE(key, u32);
	MAP_TYPE(value, u64);
} events SECTION(".maps");

INLINE void happened(u32 event)
{
	u64 *count = bpf_map_lookup_elem(&events, &event);

	if (count)
		*count += 1;
}
