// Package share takes an encrypted Aurora cluster snapshot from one AWS account
// to another, the whole way: a customer managed key that the target may use for
// nothing else, a copy under that key, the share, a copy under a key of the
// target's own, and, if asked, a running database restored from it.
//
// A [Workflow] has two [Side]s, made of ordinary AWS SDK configurations.
// [Workflow.Plan] reads and changes nothing; its [Plan] lists every change, in
// which account, with ARNs. [Workflow.Apply] carries a plan out. Each step first
// looks whether it has been done, so that Apply, or Plan and Apply, may be run
// again after an interruption, also by another machine, and two may run at the
// same time: whatever the workflow makes carries the tag "borealis:run", and
// names follow from the snapshot and the target account. What lacks the tag is
// never taken for the workflow's own.
//
// A plan that was kept is true as long as [Workflow.Recheck] says so.
// [Workflow.Runs] finds what runs have made and is still there.
// [Workflow.PlanRevoke] and [Workflow.PlanCleanup] plan to take that back, and
// [Workflow.Remove] does it.
//
// When access is refused, a [DeniedError] says which action, of whom, which of
// the policies does not allow it, and what to change. docs/permissions.md has
// the smallest policies that suffice.
//
// Plan, [Removal], [Run], [Event] and [Result] have JSON forms of a version,
// [Schema], within which fields are only added.
//
// The package speaks to AWS through the official SDK clients only. Which cloud
// answers, AWS or borealis serve, is a matter of the endpoint configured.
package share
