// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which code of multifd_zp has been executed, in whatever task: unlike KCOV,
 * which follows one task, this sees the workers too, and it needs nothing from
 * the kernel's configuration.
 *
 * The module is built with -fsanitize-coverage=trace-pc, so each basic block of
 * it calls the function below, which sets a bit for the address it was called
 * from. Only its low bits count: nothing else is built like this.
 *
 * With fail_first, the task that calls it next gets that fail-nth: when the
 * module is loaded, failures can thus be counted from its own first step on.
 *
 * Where there is only one CPU, tasks meet in the middle of something only if one
 * is preempted there; a timer does that too seldom. With yield=N a task gives way to
 * others at one in N basic blocks, by chance, wherever it may be preempted at all.
 */
#include <linux/bitops.h>
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/sched.h>

#define MZP_COV_BITS (1ul << 24)

static unsigned long mzp_cov_bitmap[BITS_TO_LONGS(MZP_COV_BITS)];
static struct debugfs_blob_wrapper mzp_cov_blob = {
	.data = mzp_cov_bitmap,
	.size = sizeof(mzp_cov_bitmap),
};
static struct dentry *mzp_cov_file;
static unsigned int mzp_cov_yield;
module_param_named(yield, mzp_cov_yield, uint, 0444);
MODULE_PARM_DESC(yield, "give way at one in so many basic blocks (0: nowhere)");

/* Two CPUs that take the same number do no harm. */
static notrace bool mzp_cov_one_in(unsigned int n)
{
	static u32 state = 1;
	u32 x = READ_ONCE(state);

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	WRITE_ONCE(state, x);
	return x % n == 0;
}

#ifdef CONFIG_FAULT_INJECTION
static unsigned int mzp_cov_fail_first;
module_param_named(fail_first, mzp_cov_fail_first, uint, 0600);

static notrace void mzp_cov_fail(void)
{
	if (unlikely(READ_ONCE(mzp_cov_fail_first)))
		WRITE_ONCE(current->fail_nth, xchg(&mzp_cov_fail_first, 0));
}
#else
static notrace void mzp_cov_fail(void)
{
}
#endif

void __sanitizer_cov_trace_pc(void);

notrace void __sanitizer_cov_trace_pc(void)
{
	unsigned long bit = (unsigned long)__builtin_return_address(0) & (MZP_COV_BITS - 1);

	mzp_cov_fail();
	/* Most are set already; a write would take the line from other CPUs. */
	if (!test_bit(bit, mzp_cov_bitmap))
		set_bit(bit, mzp_cov_bitmap);
#ifdef CONFIG_PREEMPTION
	if (mzp_cov_yield && preemptible() && mzp_cov_one_in(mzp_cov_yield))
		preempt_schedule();
#endif
}
EXPORT_SYMBOL_GPL(__sanitizer_cov_trace_pc);

static int __init mzp_cov_init(void)
{
	mzp_cov_file = debugfs_create_blob("mzp_cov", 0400, NULL, &mzp_cov_blob);
	return PTR_ERR_OR_ZERO(mzp_cov_file);
}

static void __exit mzp_cov_exit(void)
{
	debugfs_remove(mzp_cov_file);
}

module_init(mzp_cov_init);
module_exit(mzp_cov_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("coverage of multifd_zp's code");
