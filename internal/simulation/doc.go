// Package simulation runs whole conversations in virtual time, from one seed: the
// senders of a routing system, a stand-in for Temporal, the rules of the workflow, a
// stand-in for Salesforce with its own truth, operators, and the faults of all of them.
//
// A [Story] is everything that happens to one conversation from outside. [Draw] makes
// one from a seed, [Run] plays it and returns its [History], and [Check] compares the
// history with the rules of the product. Check is the reference model: start reading
// in model.go.
//
// What is real: package sender, the rules of package workflows (the caller passes them
// as a [Machine]), and how package activities judges an answer of Salesforce. What is
// simulated: time, Temporal, Salesforce, the routing system and the network.
package simulation
