// Package examples holds a routing system's event log to try things with, and
// what has to come of it.
package examples

import _ "embed"

// RoutingEvents is a log of CloudEvents, one a line, of some twenty
// conversations.
//
//go:embed routing-events.ndjson
var RoutingEvents []byte

// Demo says, as YAML, what happens in Salesforce while [RoutingEvents] is
// played and how every conversation must end.
//
//go:embed demo.yaml
var Demo []byte
