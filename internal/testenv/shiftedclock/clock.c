// Loaded into a server before its C library (LD_PRELOAD), it makes the wall clock run ahead of the machine's, or behind it, by
// the nanoseconds that stand in a file: a 64-bit integer in the machine's byte order, which may change at any time. Only the wall
// clock: what waits for a while waits as long as ever. It uses nothing that not every C library has.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { billion = 1000000000 };

static volatile int64_t *ahead; // NULL: there is no file, and the clock is right

__attribute__((constructor)) static void find_file(void) {
	const char *path = getenv("MERIDIAN_SHIFTED_CLOCK");
	int fd = path ? open(path, O_RDONLY) : -1;
	if (fd < 0) return;
	void *at = mmap(0, sizeof *ahead, PROT_READ, MAP_SHARED, fd, 0);
	if (at != MAP_FAILED) ahead = at;
	close(fd);
}

int clock_gettime(clockid_t clock, struct timespec *t) {
	long failed = syscall(SYS_clock_gettime, clock, t);
	if (failed || !ahead || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)) return (int)failed;
	int64_t ns = (int64_t)t->tv_sec * billion + t->tv_nsec + *ahead;
	t->tv_sec = ns / billion;
	t->tv_nsec = ns % billion;
	return 0;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone) {
	struct timespec now;
	(void)zone;
	if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
	t->tv_sec = now.tv_sec;
	t->tv_usec = now.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *to) {
	struct timespec now;
	if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
	if (to) *to = now.tv_sec;
	return now.tv_sec;
}
