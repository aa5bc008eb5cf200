#include "common/io/scheduling.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace common::io {

namespace {

// struct sched_attr of the kernel, version 0; glibc has it since 2.41 only.
struct Attributes {
    std::uint32_t size = sizeof(Attributes);
    std::uint32_t policy = SCHED_OTHER;
    std::uint64_t flags = 0;
    std::int32_t nice = 0;
    std::uint32_t priority = 0;
    std::uint64_t runtime_ns = 0;  // of a thread without a real-time policy: its slice
    std::uint64_t deadline_ns = 0;
    std::uint64_t period_ns = 0;
};
static_assert(sizeof(Attributes) == 48);

void set(std::uint32_t policy, std::uint64_t slice_ns) {
    Attributes attributes;
    // What it had, the nice value first of all, stays.
    if (::syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0U) != 0 ||
        (attributes.policy != SCHED_OTHER && attributes.policy != SCHED_BATCH)) {
        return;
    }
    attributes.policy = policy;
    attributes.runtime_ns = slice_ns;
    static_cast<void>(::syscall(SYS_sched_setattr, 0, &attributes, 0U));
}

}  // namespace

void let_others_first() {
    set(SCHED_BATCH, 100'000'000);
}

void go_first_for_short() {
    set(SCHED_OTHER, 100'000);
}

}  // namespace common::io
