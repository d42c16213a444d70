// Package examples has the events of a demo, and the results that they must have.
package examples

import _ "embed"

// RoutingEvents has the CloudEvents of 22 conversations, one event per line.
//
//go:embed routing-events.ndjson
var RoutingEvents []byte

// Demo is a YAML file. It has what happens in Salesforce while [RoutingEvents] are
// sent, and how each conversation must end.
//
//go:embed demo.yaml
var Demo []byte
