package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v3"

	"sessionkeeper/internal/gate"
	"sessionkeeper/internal/orgstatus"
)

func orgsCommand() *cli.Command {
	return &cli.Command{
		Name:  "orgs",
		Usage: "show what workers say of their orgs",
		Description: "Asks each worker at the address of its health and metrics, and shows for each org whether its\n" +
			"calls go, how many are in flight, and at which pace. Each worker has its own pace.\n" +
			"It fails if a worker does not answer, or has settings that it cannot use.\n\n" +
			"STATE is ready, paused, unreachable or rate limited. An org that is not ready loses no call: they wait.\n\n" +
			"Examples:\n" +
			"   starter orgs -worker 10.0.0.7:9090 -worker 10.0.0.8:9090\n" +
			"   starter orgs -not-ready",
		Flags: []cli.Flag{
			&cli.StringSliceFlag{
				Name: "worker", Usage: "`HOST:PORT` of a worker's health and metrics", Value: []string{"localhost:9090"},
			},
			&cli.BoolFlag{Name: "not-ready", Usage: "only orgs that are not ready, or have a problem"},
			&cli.BoolFlag{Name: "json", Usage: "print the answers as JSON"},
		},
		Action: showOrgs,
	}
}

func showOrgs(ctx context.Context, c *cli.Command) error {
	if c.Args().Present() {
		return errors.New("want no argument, see starter orgs -help")
	}
	lists := map[string]orgstatus.List{}
	var problems []error
	for _, worker := range c.StringSlice("worker") {
		list, err := askForOrgs(ctx, worker)
		if err != nil {
			problems = append(problems, fmt.Errorf("worker %s: %w", worker, err))
			continue
		}
		lists[worker] = list
	}
	if c.Bool("json") {
		return errors.Join(append(problems, printJSON(c, lists))...)
	}
	table := tabwriter.NewWriter(c.Root().Writer, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "WORKER\tORG\tSTATE\tSINCE\tIN FLIGHT\tPACE\tREASON")
	for _, worker := range c.StringSlice("worker") {
		for _, org := range lists[worker].Orgs {
			if org.Problem != "" {
				problems = append(problems, fmt.Errorf("worker %s: %s", worker, oneLine(org.Problem)))
			}
			if c.Bool("not-ready") && org.State == gate.Ready && org.Problem == "" {
				continue
			}
			_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%.3g/s\t%s\n", worker, org.OrgID, org.State,
				org.Since.UTC().Format(time.RFC3339), org.InFlight, org.Pace, oneLine(org.Reason))
		}
		for _, problem := range lists[worker].Problems {
			problems = append(problems, fmt.Errorf("worker %s: %s", worker, oneLine(problem)))
		}
	}
	_ = table.Flush()
	return errors.Join(problems...)
}

// maxOrgList is the largest answer of a worker in bytes: room for ten thousand orgs.
const maxOrgList = 8 << 20

func askForOrgs(ctx context.Context, worker string) (list orgstatus.List, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+worker+"/orgs", nil)
	if err != nil {
		return list, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return list, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return list, fmt.Errorf("/orgs answered %d: is this the address of a worker's metrics?", response.StatusCode)
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, maxOrgList)).Decode(&list); err != nil {
		return list, fmt.Errorf("read the answer of /orgs: %w", err)
	}
	return list, nil
}

// oneLine keeps a text from breaking the output.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
