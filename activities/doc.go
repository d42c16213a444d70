// Package activities makes the two calls to Salesforce, Inactivate and End. It
// decides what each answer means: try again, done, or an operator
// is needed. The decision table is in decision.go.
package activities
