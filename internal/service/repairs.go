package service

import (
	"cmp"
	"context"
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
// see the same change within a minute make it one job: its id has the minute.
type repairs struct {
	service   workflowservice.WorkflowServiceClient
	namespace string
	logger    *zap.Logger
}

const (
	// repairDelay is how long a job waits, so that the other workers know of the change too.
	repairDelay = 10 * time.Second
	// repairsPerSecond is how many conversations are retried per second.
	repairsPerSecond = 20
)

// added retries the conversations of orgs that no worker knew, when a worker starts.
func (r repairs) added(ctx context.Context) {
	go r.retry(ctx, "", activities.ReasonOrgNotConfigured)
}

// repaired retries the conversations of orgs with a new login.
func (r repairs) repaired(ctx context.Context, orgs []string) {
	go func() {
		for _, id := range orgs {
			r.retry(ctx, id, "")
		}
	}()
}

// retry asks for a job until it has begun, because others may run before it.
func (r repairs) retry(ctx context.Context, orgID, errorReason string) {
	log := r.logger.With(zap.String("orgId", orgID), zap.String("errorReason", errorReason))
	query, err := bulkretry.Query(orgID, errorReason)
	if err != nil {
		log.Error("Blocked conversations are not retried", zap.Error(err))
		return
	}
	j := bulkretry.Job{
		Service: r.service, Namespace: r.namespace, Query: query, PerSecond: repairsPerSecond,
		ID:     "sessionkeeper-" + cmp.Or(orgID, errorReason) + time.Now().UTC().Format("-2006-01-02T15:04"),
		Reason: "org added or repaired", Identity: "worker",
	}
	select {
	case <-ctx.Done():
		return
	case <-time.After(repairDelay):
	}
	found, err := backoff.Retry(ctx, func() (int64, error) { return begin(ctx, j) },
		backoff.WithBackOff(backoff.NewExponentialBackOff()), backoff.WithMaxElapsedTime(0))
	switch {
	case ctx.Err() != nil:
	case err != nil:
		log.Warn(`Blocked conversations are not retried, use "starter retry -blocked"`, zap.Error(err))
	case found > 0:
		log.Info("Blocked conversations are retried", zap.Int64("conversations", found), zap.String("job", j.ID))
	}
}

// begin begins a job if there is anything to do, and returns how much. An error that will
// not pass is permanent.
func begin(ctx context.Context, j bulkretry.Job) (int64, error) {
	found, err := j.Count(ctx)
	if err != nil || found == 0 {
		return 0, err
	}
	err = j.Start(ctx)
	switch serviceerror.ToStatus(err).Code() {
	case codes.AlreadyExists:
		return 0, nil // another worker has begun it
	case codes.PermissionDenied, codes.Unimplemented, codes.InvalidArgument:
		return 0, backoff.Permanent(err)
	default:
		return found, err
	}
}
