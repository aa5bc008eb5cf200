#pragma once
// How the calling thread, and threads that it starts later, share the processors with others of the
// same priority: who is let on first, and for how long at a time. Nobody's share gets smaller, so
// nothing takes longer when the machine is busy: docs/decisions/0014-slices.md. What a kernel does
// not know or allow is left as it is.

namespace common::io {

// For long work that nobody waits for: it takes the processor from no other thread when it is
// ready, and gives it to whoever becomes ready (SCHED_BATCH of sched(7), and with Linux 6.12 and
// later a slice of 100 ms, the longest).
void let_others_first();

// For a thread that has little to do each time and that others wait for: it need not wait for the
// end of another's slice (with Linux 6.12 and later a slice of 0.1 ms, the shortest).
void go_first_for_short();

}  // namespace common::io
