package service

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"go.temporal.io/sdk/client"
	"golang.org/x/sync/errgroup"

	"sessionkeeper/internal/preflight"
	"sessionkeeper/internal/secretfile"
)

// CheckOptions are the arguments of [Check].
type CheckOptions struct {
	// ConfigFile is the configuration file.
	ConfigFile string
	// Temporal has the settings of the connection.
	Temporal client.Options
	// OrgID is the only org to check, empty for all.
	OrgID string
	// AuthorizationContext and ChannelAddressIdentifier, if set, are checked with the orgs.
	AuthorizationContext, ChannelAddressIdentifier string
	// Version is the version of the program.
	Version string
}

// orgsAtOnce is how many orgs are checked at once.
const orgsAtOnce = 8

// Check checks what a worker needs: its configuration, Temporal, and for each org the login
// and Salesforce's API. It changes nothing: the request to the API names a conversation that
// does not exist.
func Check(ctx context.Context, o CheckOptions) preflight.Report {
	config, err := LoadConfig(o.ConfigFile)
	c := checks{group: "Configuration " + o.ConfigFile}
	if err != nil {
		c.failed("can be read", err, "")
		return append(c.report, checkTemporal(ctx, o, Config{})...)
	}
	c.ok("can be read", fmt.Sprintf("task queue %s, %d orgs", config.TaskQueue, len(config.Orgs)))
	for _, place := range slices.Sorted(maps.Keys(config.unusable)) {
		c.failed("all orgs can be used", config.unusable[place], "")
	}
	c.secretFiles(config)
	isLeftOut := func(org Org) bool { return o.OrgID != "" && org.OrgID != o.OrgID }
	orgs := slices.DeleteFunc(slices.Clone(config.Orgs), isLeftOut)
	if len(orgs) == 0 && o.OrgID != "" {
		c.failed("has org "+o.OrgID, nil, "Name one of the orgs of the configuration.")
	}
	return slices.Concat(c.report, checkTemporal(ctx, o, config), checkOrgs(ctx, o, orgs))
}

// checkOrgs checks orgs. Their results are in their order.
func checkOrgs(ctx context.Context, o CheckOptions, orgs []Org) (all preflight.Report) {
	reports := make([]preflight.Report, len(orgs))
	var group errgroup.Group
	group.SetLimit(orgsAtOnce)
	for i, org := range orgs {
		group.Go(func() error {
			reports[i] = checkOrg(ctx, o, org)
			return nil
		})
	}
	_ = group.Wait()
	return slices.Concat(reports...)
}

// checks collects the results of one group.
type checks struct {
	group  string
	report preflight.Report
}

func (c *checks) add(status preflight.Status, check, detail, remedy string) {
	c.report = append(c.report, preflight.Result{
		Group: c.group, Check: check, Status: status, Detail: detail, Remedy: remedy,
	})
}

func (c *checks) ok(check, detail string) { c.add(preflight.OK, check, detail, "") }

func (c *checks) warning(check, detail, remedy string) {
	c.add(preflight.Warning, check, detail, remedy)
}

func (c *checks) skipped(all ...string) {
	for _, check := range all {
		c.add(preflight.Skipped, check, "", "")
	}
}

func (c *checks) failed(check string, err error, remedy string) {
	detail := ""
	if err != nil {
		detail = err.Error()
	}
	c.add(preflight.Failed, check, detail, remedy)
}

// secretFiles checks who else can read the secrets.
func (c *checks) secretFiles(config Config) {
	const check = "only the worker can read the files with secrets"
	exposed := false
	for _, org := range config.Orgs {
		for _, path := range org.secretFiles() {
			if exposure := secretfile.Exposure(path); exposure != "" {
				c.warning(check, path+" "+exposure, "chmod 600 "+path)
				exposed = true
			}
		}
	}
	if !exposed {
		c.ok(check, "")
	}
}
