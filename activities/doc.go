// Package activities tells Salesforce that a session has gone quiet or is
// over, and decides what each answer means: retry, done, or an operator is
// needed. The decision table is in decision.go; everything else serves it.
package activities
