// Package activities makes the calls to Salesforce: a session is Inactive, or it
// has ended. It decides what each answer means: try again, done, or an operator
// is needed. The decision table is in decision.go.
package activities
