package service

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"

	"sessionkeeper/activities"
	"sessionkeeper/internal/bulkretry"
)

// repairs retries Blocked conversations of orgs that were added or repaired. Workers that
// see the same change make it one job: its id has the minute.
type repairs struct {
	service   workflowservice.WorkflowServiceClient
	namespace string
	logger    *zap.Logger
	// delay is how long a job waits, so that the other workers know of the change too.
	delay time.Duration
}

const (
	// repairDelay is the delay of [Run].
	repairDelay = 10 * time.Second
	// repairsPerSecond is how many conversations are retried per second.
	repairsPerSecond = 20
)

// added retries the conversations of these orgs that no worker knew until this one started.
func (r repairs) added(ctx context.Context, orgs []string) {
	go func() {
		changed := time.Now()
		if r.wait(ctx) && r.count(ctx, activities.ReasonOrgNotConfigured) > 0 {
			for _, id := range orgs {
				r.retry(ctx, id, activities.ReasonOrgNotConfigured, changed)
			}
		}
	}()
}

// repaired retries the conversations of orgs with a new login.
func (r repairs) repaired(ctx context.Context, orgs []string) {
	go func() {
		changed := time.Now()
		if r.wait(ctx) {
			for _, id := range orgs {
				r.retry(ctx, id, "", changed)
			}
		}
	}()
}

func (r repairs) wait(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(r.delay):
		return true
	}
}

// count returns how many conversations are Blocked for a reason.
func (r repairs) count(ctx context.Context, errorReason string) int64 {
	return r.untilDone(ctx, zap.String("errorReason", errorReason), func() (int64, error) {
		job, err := r.job("", errorReason)
		if err != nil {
			return 0, err
		}
		return job.Count(ctx)
	})
}

// retry retries the conversations of an org, if there are any.
func (r repairs) retry(ctx context.Context, orgID, errorReason string, changed time.Time) {
	org := zap.String("orgId", orgID)
	found := r.untilDone(ctx, org, func() (int64, error) {
		job, err := r.job(orgID, errorReason)
		if err != nil {
			return 0, err
		}
		found, err := job.Count(ctx)
		if err != nil || found == 0 {
			return 0, err
		}
		job.ID = "sessionkeeper-" + orgID + time.Now().UTC().Format("-2006-01-02T15:04")
		return found, r.begin(ctx, job, changed)
	})
	if found > 0 {
		r.logger.Info("Blocked conversations are retried", org, zap.Int64("conversations", found))
	}
}

func (r repairs) job(orgID, errorReason string) (bulkretry.Job, error) {
	query, err := bulkretry.Query(orgID, errorReason)
	if err != nil {
		return bulkretry.Job{}, backoff.Permanent(err)
	}
	return bulkretry.Job{
		Service: r.service, Namespace: r.namespace, Query: query, PerSecond: repairsPerSecond,
		Reason: "org added or repaired", Identity: "worker",
	}, nil
}

var errEarlierJob = errors.New("a job of the same minute began before the change")

// begin begins a job, unless another worker has. A job of an earlier change is not enough:
// then the next try has another minute.
func (r repairs) begin(ctx context.Context, job bulkretry.Job, changed time.Time) error {
	err := job.Start(ctx)
	if serviceerror.ToStatus(err).Code() != codes.AlreadyExists {
		return err
	}
	other, err := job.Describe(ctx)
	// Workers see a change within half of the delay, and their jobs begin after the delay.
	if err == nil && other.GetStartTime().AsTime().Before(changed.Add(r.delay/2)) {
		return errEarlierJob
	}
	return err
}

// untilDone repeats requests to Temporal, because other jobs may run and Temporal may be away.
// It logs the first failure, and gives up where waiting does not help.
func (r repairs) untilDone(ctx context.Context, about zap.Field, requests func() (int64, error)) int64 {
	logged := false
	found, err := backoff.Retry(ctx, func() (int64, error) {
		found, err := requests()
		switch serviceerror.ToStatus(err).Code() {
		case codes.PermissionDenied, codes.Unimplemented, codes.InvalidArgument:
			return 0, backoff.Permanent(err)
		default:
			return found, err
		}
	}, backoff.WithBackOff(backoff.NewExponentialBackOff()), backoff.WithMaxElapsedTime(0),
		backoff.WithNotify(func(err error, _ time.Duration) {
			if !logged && !bulkretry.IsBusy(err) {
				r.logger.Warn("Blocked conversations cannot be retried yet", about, zap.Error(err))
			}
			logged = true
		}))
	if err != nil && ctx.Err() == nil {
		r.logger.Warn(`Blocked conversations are not retried, use "starter retry -blocked"`, about, zap.Error(err))
	}
	return found
}
