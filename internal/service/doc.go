// Package service is the worker program without its command line. It reads the
// configuration, connects to Temporal, registers the workflow and the activities,
// and serves health and metrics.
package service
