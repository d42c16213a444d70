package main

import (
	"net"
	"net/url"
	"strconv"
	"strings"
)

// webUI returns the address of the Web UI's list of this demo's workflows, or ""
// where it cannot be known. `temporal server start-dev` serves its Web UI 1,000
// ports above the frontend's.
func webUI(hostPort, namespace, taskQueue string) string {
	path := "/namespaces/" + url.PathEscape(namespace) + "/workflows?query=" + url.QueryEscape("TaskQueue='"+taskQueue+"'")
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		return ""
	}
	if isCloud(hostPort) {
		return "https://cloud.temporal.io" + path
	}
	number, err := strconv.Atoi(port)
	ip := net.ParseIP(host)
	if err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return ""
	}
	return "http://" + net.JoinHostPort(host, strconv.Itoa(number+1000)) + path
}

// isCloud reports whether an address is one of Temporal Cloud.
func isCloud(hostPort string) bool {
	host, _, _ := net.SplitHostPort(hostPort)
	return strings.HasSuffix(host, ".tmprl.cloud") || strings.HasSuffix(host, ".api.temporal.io")
}
