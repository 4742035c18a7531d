/* For the benchmark of health checks only, never part of evenkeel: compiled and preloaded when `cargo xtask bench checks`
 * starts keepalived on a kernel that has no IPVS. Every IPVS socket option succeeds and does nothing, so that keepalived's
 * checker runs; what a kernel with IPVS would charge it for its table is therefore not in the figures. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

/* The range of options that linux/ip_vs.h gives to IPVS. */
enum { FIRST = 64 + 1024 + 64, LAST = FIRST + 127 };

static int is_ipvs(int level, int name)
{
	return level == IPPROTO_IP && name >= FIRST && name <= LAST;
}

int getsockopt(int fd, int level, int name, void *value, socklen_t *length)
{
	static int (*real)(int, int, int, void *, socklen_t *);

	if (is_ipvs(level, name)) {
		memset(value, 0, *length);
		return 0;
	}
	if (!real)
		real = dlsym(RTLD_NEXT, "getsockopt");
	return real(fd, level, name, value, length);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
	static int (*real)(int, int, int, const void *, socklen_t);

	if (is_ipvs(level, name))
		return 0;
	if (!real)
		real = dlsym(RTLD_NEXT, "setsockopt");
	return real(fd, level, name, value, length);
}
