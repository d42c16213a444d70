// Package workflows holds the life of a conversation as a durable workflow.
//
// It has two halves. [State] is everything that a conversation remembers, with
// the rules by which events change it and by which it says what is due: plain
// data, no Temporal. The keeper moves the state along on Temporal: it drains
// what has arrived, makes or cancels the one call, winds the one timer, and
// shows where things stand. One coroutine does all of it, so that an idle
// conversation costs a worker as little as possible.
package workflows
