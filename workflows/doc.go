// Package workflows contains the workflow of a conversation.
//
// It has two parts. [State] is plain data: everything that a conversation
// remembers, with the rules by which events change it, and with its step, which
// decides what to do next. It does not use Temporal. The runner executes these
// decisions on Temporal: it drains signals, starts or cancels the one call, sets
// the one timer, and publishes the state for operators. All of this runs in one
// coroutine, so that an idle conversation needs little memory on a worker.
package workflows
