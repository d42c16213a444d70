package service

import (
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

// repairs retries Blocked conversations of orgs that were added or repaired. Several
// workers see the same change: the id of the job makes Temporal do it once.
type repairs struct {
	service   workflowservice.WorkflowServiceClient
	namespace string
	logger    *zap.Logger
}

const (
	// repairsPerSecond is how many conversations are retried per second.
	repairsPerSecond = 20
	// repairFor is for how long a job is asked for that cannot begin.
	repairFor = 30 * time.Minute
)

// added retries the conversations of orgs that no worker knew, when a worker starts.
func (r repairs) added(ctx context.Context, configuration string) {
	go r.retry(ctx, "", activities.ReasonOrgNotConfigured, configuration)
}

// repaired retries the conversations of orgs with a new login, by the ids of the orgs.
func (r repairs) repaired(ctx context.Context, logins map[string]string) {
	go func() {
		for id, login := range logins {
			r.retry(ctx, id, "", id+"-"+login)
		}
	}()
}

func (r repairs) retry(ctx context.Context, orgID, errorReason, job string) {
	log := r.logger.With(zap.String("orgId", orgID), zap.String("errorReason", errorReason))
	query, err := bulkretry.Query(orgID, errorReason)
	if err != nil {
		log.Error("Blocked conversations are not retried", zap.Error(err))
		return
	}
	j := bulkretry.Job{
		Service: r.service, Namespace: r.namespace, ID: "sessionkeeper-" + job, Query: query, PerSecond: repairsPerSecond,
		Reason: "org added or repaired", Identity: "worker",
	}
	found, err := backoff.Retry(ctx, func() (int64, error) { return begin(ctx, j) },
		backoff.WithBackOff(backoff.NewExponentialBackOff()), backoff.WithMaxElapsedTime(repairFor))
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
