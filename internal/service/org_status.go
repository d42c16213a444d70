package service

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"sessionkeeper/internal/orgstatus"
)

// Statuses returns what the worker says of its orgs, by their ids.
func (o *Orgs) Statuses() []orgstatus.Org {
	o.mu.RLock()
	defer o.mu.RUnlock()
	all := make([]orgstatus.Org, 0, len(o.byID))
	for _, id := range slices.Sorted(maps.Keys(o.byID)) {
		status := orgstatus.Org{OrgID: id, Status: o.byID[id].Gate.Status()}
		if problem := o.byID[id].problem; problem != nil {
			status.Problem = problem.Error()
		}
		all = append(all, status)
	}
	return all
}

// ServeHTTP answers with an [orgstatus.List] as JSON.
func (o *Orgs) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	list := orgstatus.List{Orgs: o.Statuses()}
	o.mu.RLock()
	for _, place := range slices.Sorted(maps.Keys(o.problems)) {
		list.Problems = append(list.Problems, o.problems[place].Error())
	}
	o.mu.RUnlock()
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(list)
}

// countProblems counts the settings that cannot be used.
func (o *Orgs) countProblems() int {
	o.mu.RLock()
	defer o.mu.RUnlock()
	count := len(o.problems)
	for _, org := range o.byID {
		if org.problem != nil {
			count++
		}
	}
	return count
}

var (
	orgState = prometheus.NewDesc("sessionkeeper_org_state",
		"1 for the state of the org: ready, paused, unreachable or rate limited", []string{"org", "state"}, nil)
	orgInFlight = prometheus.NewDesc("sessionkeeper_org_calls_in_flight",
		"Calls of the org in flight", []string{"org"}, nil)
	orgPace = prometheus.NewDesc("sessionkeeper_org_pace",
		"Calls of the org that may go per second", []string{"org"}, nil)
	badSettings = prometheus.NewDesc("sessionkeeper_settings_not_used",
		"Settings of orgs and files that cannot be used, see /orgs", nil, nil)
)

// Describe implements [prometheus.Collector].
func (o *Orgs) Describe(descriptions chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{orgState, orgInFlight, orgPace, badSettings} {
		descriptions <- d
	}
}

// Collect implements [prometheus.Collector].
func (o *Orgs) Collect(metrics chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	for _, s := range o.Statuses() {
		gauge(orgState, 1, s.OrgID, string(s.State))
		gauge(orgInFlight, float64(s.InFlight), s.OrgID)
		gauge(orgPace, s.Pace, s.OrgID)
	}
	gauge(badSettings, float64(o.countProblems()))
}
