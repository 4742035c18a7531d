/* Internet checksums, changed where the data changes (RFC 1624, equation 3), so that a wrong one stays wrong. */
#pragma once

#include "packet.h"

INLINE u32 fold(u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* What a change adds to a sum. */
INLINE u64 change16(u16 from, u16 to)
{
	return (u64)(u16)~from + to;
}

INLINE u64 change32(u32 from, u32 to)
{
	return (u64)(u32)~from + to;
}

INLINE u64 change_address(const struct address *from, const struct address *to)
{
	u64 sum = 0;

#pragma unroll
	for (int i = 0; i < 4; i++)
		sum += change32(from->word[i], to->word[i]);
	return sum;
}

INLINE u16 changed(u16 checksum, u64 change)
{
	return ~fold((u16)~checksum + change);
}

/* A datagram without a checksum keeps none, and one never gets the value that means none (RFC 768). */
INLINE u16 changed_udp(u16 checksum, u64 change)
{
	u16 result;

	if (!checksum)
		return 0;
	result = changed(checksum, change);
	return result ? result : 0xffff;
}
