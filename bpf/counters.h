// Counters by reason: one row a CPU, mapped by user space, which sums them
// without a system call and hence without privileges.
#pragma once

#include "kernel.h"
#include "reason.h"

struct counter_row {
	__u64 by_reason[REASON_SLOTS];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); // the loader sets the number of CPUs
	__type(key, __u32);
	__type(value, struct counter_row);
} counters SEC(".maps");

// A CPU runs one program of the receive path at a time, so that a plain
// increment loses nothing: the only writer of a row is its CPU.
static __always_inline void count(enum reason reason)
{
	__u32 cpu = bpf_get_smp_processor_id();
	struct counter_row *row = bpf_map_lookup_elem(&counters, &cpu);

	if (row)
		row->by_reason[reason & (REASON_SLOTS - 1)]++;
}
