// An AF_XDP echo in the manner of xdpsock's l2fwd: receive a batch, swap the
// addresses in place, send the same frames, take completions, refill. One socket,
// one queue, poll() when there is nothing. Usage: echo INTERFACE PROGRAM.o
//
// It is the yardstick for what a C program pays for a frame through AF_XDP: it
// looks at nothing but the addresses.
#include <errno.h>
#include <linux/if_link.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "udp.h"

enum { FRAME_BYTES = 4096, QUEUE = 2048, FRAMES = QUEUE, BATCH = 64 };

/* A queue shared with the kernel. Who is marked writes the word. */
struct queue {
	uint32_t *producer; /* fill, tx: us; rx, completion: the kernel */
	uint32_t *consumer; /* the other one */
	uint32_t *flags;
	void *entries;
	uint32_t mine; /* our own index */
};

static volatile sig_atomic_t ended;

static void end(int signal)
{
	(void)signal;
	ended = 1;
}

static void must(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "echo: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void map_queue(int fd, struct queue *q, const struct xdp_ring_offset *at, off_t offset, size_t entry)
{
	uint8_t *base = mmap(NULL, at->desc + QUEUE * entry, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, offset);

	must(base != MAP_FAILED, "map queue");
	q->producer = (uint32_t *)(base + at->producer);
	q->consumer = (uint32_t *)(base + at->consumer);
	q->flags = (uint32_t *)(base + at->flags);
	q->entries = base + at->desc;
	q->mine = 0;
}

/* ready is how many entries the kernel has put into a queue that we read. */
static uint32_t ready(const struct queue *q)
{
	return __atomic_load_n(q->producer, __ATOMIC_ACQUIRE) - q->mine;
}

static int wants_wakeup(const struct queue *q)
{
	return __atomic_load_n(q->flags, __ATOMIC_RELAXED) & XDP_RING_NEED_WAKEUP;
}

struct echo {
	int fd;
	uint8_t *umem;
	struct queue fill, completion, rx, tx;
	uint32_t in_flight; /* sent, not completed */
};

static void open_socket(struct echo *e, int ifindex)
{
	struct xdp_umem_reg reg = {.len = (uint64_t)FRAMES * FRAME_BYTES, .chunk_size = FRAME_BYTES};
	struct sockaddr_xdp addr = {.sxdp_family = AF_XDP, .sxdp_ifindex = ifindex, .sxdp_flags = XDP_USE_NEED_WAKEUP};
	const int options[] = {XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_RX_RING, XDP_TX_RING};
	struct xdp_mmap_offsets at;
	socklen_t length = sizeof(at);
	int entries = QUEUE, tries = 50;

	e->umem = mmap(NULL, reg.len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	must(e->umem != MAP_FAILED, "memory");
	reg.addr = (uint64_t)(uintptr_t)e->umem;
	e->fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	must(e->fd >= 0, "socket");
	must(!setsockopt(e->fd, SOL_XDP, XDP_UMEM_REG, &reg, sizeof(reg)), "register memory");
	for (int i = 0; i < 4; i++)
		must(!setsockopt(e->fd, SOL_XDP, options[i], &entries, sizeof(entries)), "queue");
	must(!getsockopt(e->fd, SOL_XDP, XDP_MMAP_OFFSETS, &at, &length), "offsets");
	map_queue(e->fd, &e->fill, &at.fr, XDP_UMEM_PGOFF_FILL_RING, sizeof(uint64_t));
	map_queue(e->fd, &e->completion, &at.cr, XDP_UMEM_PGOFF_COMPLETION_RING, sizeof(uint64_t));
	map_queue(e->fd, &e->rx, &at.rx, XDP_PGOFF_RX_RING, sizeof(struct xdp_desc));
	map_queue(e->fd, &e->tx, &at.tx, XDP_PGOFF_TX_RING, sizeof(struct xdp_desc));
	/* The queue of a socket that has just ended stays busy for a while. */
	while (bind(e->fd, (struct sockaddr *)&addr, sizeof(addr)) && errno == EBUSY && --tries)
		usleep(20000);
	must(tries > 0, "bind");
}

static void refill(struct echo *e, const uint64_t *frames, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		((uint64_t *)e->fill.entries)[e->fill.mine++ & (QUEUE - 1)] = frames[i];
	__atomic_store_n(e->fill.producer, e->fill.mine, __ATOMIC_RELEASE);
}

/* complete gives frames that have been sent back to the kernel to receive into. */
static void complete(struct echo *e)
{
	uint64_t frames[BATCH];
	uint32_t n = ready(&e->completion);

	if (n > BATCH)
		n = BATCH;
	if (!n)
		return;
	for (uint32_t i = 0; i < n; i++)
		frames[i] = ((uint64_t *)e->completion.entries)[e->completion.mine++ & (QUEUE - 1)];
	__atomic_store_n(e->completion.consumer, e->completion.mine, __ATOMIC_RELEASE);
	e->in_flight -= n;
	refill(e, frames, n);
}

/* unsent is how many frames the kernel has not taken yet: it takes 32 a call. */
static uint32_t unsent(const struct echo *e)
{
	return e->tx.mine - __atomic_load_n(e->tx.consumer, __ATOMIC_ACQUIRE);
}

static void kick(struct echo *e)
{
	if (!unsent(e) || !wants_wakeup(&e->tx))
		return;
	if (sendto(e->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0)
		must(errno == EAGAIN || errno == EBUSY || errno == ENOBUFS || errno == ENETDOWN, "send");
}

/* turn_batch echoes what has arrived and returns how many frames that was. */
static uint32_t turn_batch(struct echo *e)
{
	uint32_t n = ready(&e->rx), room = QUEUE - e->in_flight;

	if (n > BATCH)
		n = BATCH;
	if (n > room)
		n = room;
	for (uint32_t i = 0; i < n; i++) {
		struct xdp_desc d = ((struct xdp_desc *)e->rx.entries)[e->rx.mine++ & (QUEUE - 1)];
		uint8_t *data = e->umem + d.addr;
		struct frame *f = udp_frame(data, data + d.len);

		if (f)
			turn(f);
		((struct xdp_desc *)e->tx.entries)[e->tx.mine++ & (QUEUE - 1)] = (struct xdp_desc){.addr = d.addr, .len = d.len};
	}
	if (!n)
		return 0;
	__atomic_store_n(e->rx.consumer, e->rx.mine, __ATOMIC_RELEASE);
	__atomic_store_n(e->tx.producer, e->tx.mine, __ATOMIC_RELEASE);
	e->in_flight += n;
	return n;
}

static void serve(struct echo *e)
{
	struct pollfd poller = {.fd = e->fd, .events = POLLIN};

	while (!ended) {
		complete(e);
		uint32_t n = turn_batch(e);

		kick(e);
		complete(e);
		if (!n && !unsent(e) && !ready(&e->rx))
			poll(&poller, 1, 100);
	}
}

/* attach loads the filter and returns its link, which ends with the process. */
static void attach(struct echo *e, const char *path, int ifindex)
{
	struct bpf_object *object = bpf_object__open_file(path, NULL);
	uint32_t queue = 0;

	must(object != NULL, path);
	must(!bpf_object__load(object), "load program");
	struct bpf_program *program = bpf_object__find_program_by_name(object, "to_socket");
	struct bpf_map *sockets = bpf_object__find_map_by_name(object, "sockets");

	must(program && sockets, "program");
	must(!bpf_map_update_elem(bpf_map__fd(sockets), &queue, &e->fd, BPF_ANY), "socket map");
	must(bpf_program__attach_xdp(program, ifindex) != NULL, "attach program");
}

int main(int argc, char **argv)
{
	static struct echo e;
	struct sigaction action = {.sa_handler = end};
	uint64_t frames[QUEUE];
	int ifindex;

	if (argc != 3) {
		fprintf(stderr, "usage: echo INTERFACE PROGRAM.o\n");
		return 2;
	}
	ifindex = if_nametoindex(argv[1]);
	must(ifindex > 0, argv[1]);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	open_socket(&e, ifindex);
	for (uint32_t i = 0; i < QUEUE; i++)
		frames[i] = (uint64_t)i * FRAME_BYTES;
	refill(&e, frames, QUEUE);
	attach(&e, argv[2], ifindex);
	puts("ready");
	fflush(stdout);
	serve(&e);
	return 0;
}
