package temporaltest

import (
	"context"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	updatepb "go.temporal.io/api/update/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// DescribeWorkflowExecution returns the status of the last run.
func (s *Server) DescribeWorkflowExecution(
	_ context.Context, r *workflowservice.DescribeWorkflowExecutionRequest,
) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := r.GetExecution().GetWorkflowId()
	s.calls = append(s.calls, Call{Method: "DescribeWorkflowExecution", WorkflowID: id})
	run := s.runs[id]
	if run == nil {
		return nil, serviceerror.NewNotFound("workflow not found")
	}
	info := &workflowpb.WorkflowExecutionInfo{
		Execution: run.execution(), Status: enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING,
		SearchAttributes: run.SearchAttributes,
	}
	if !run.Ended.IsZero() {
		info.Status, info.CloseTime = run.Status, timestamppb.New(run.Ended)
	}
	return &workflowservice.DescribeWorkflowExecutionResponse{
		WorkflowExecutionInfo: info, PendingActivities: run.Pending,
	}, nil
}

func (r *Run) execution() *commonpb.WorkflowExecution {
	return &commonpb.WorkflowExecution{WorkflowId: r.WorkflowID, RunId: r.id}
}

// GetWorkflowExecutionHistory returns the event that ended the last run.
func (s *Server) GetWorkflowExecutionHistory(
	_ context.Context, r *workflowservice.GetWorkflowExecutionHistoryRequest,
) (*workflowservice.GetWorkflowExecutionHistoryResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	run := s.runs[r.GetExecution().GetWorkflowId()]
	if run == nil || run.Ended.IsZero() {
		return nil, serviceerror.NewNotFound("workflow not found")
	}
	ended := &historypb.HistoryEvent{
		EventId: 9, EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED,
		Attributes: &historypb.HistoryEvent_WorkflowExecutionCompletedEventAttributes{
			WorkflowExecutionCompletedEventAttributes: &historypb.WorkflowExecutionCompletedEventAttributes{
				Result: run.outcome(),
			},
		},
	}
	switch run.Status {
	case enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED:
		canceled := &historypb.WorkflowExecutionCanceledEventAttributes{}
		if run.Outcome != nil {
			canceled.Details = run.outcome()
		}
		ended.EventType = enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED
		ended.Attributes = &historypb.HistoryEvent_WorkflowExecutionCanceledEventAttributes{
			WorkflowExecutionCanceledEventAttributes: canceled,
		}
	case enumspb.WORKFLOW_EXECUTION_STATUS_FAILED:
		ended.EventType = enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED
		ended.Attributes = &historypb.HistoryEvent_WorkflowExecutionFailedEventAttributes{
			WorkflowExecutionFailedEventAttributes: &historypb.WorkflowExecutionFailedEventAttributes{Failure: run.Failure},
		}
	}
	return &workflowservice.GetWorkflowExecutionHistoryResponse{
		History: &historypb.History{Events: []*historypb.HistoryEvent{ended}},
	}, nil
}

// QueryWorkflow answers with the status that [Server.SetStatus] set.
func (s *Server) QueryWorkflow(
	_ context.Context, r *workflowservice.QueryWorkflowRequest,
) (*workflowservice.QueryWorkflowResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := r.GetExecution().GetWorkflowId()
	s.calls = append(s.calls, Call{Method: "QueryWorkflow", WorkflowID: id, Name: r.GetQuery().GetQueryType()})
	if s.runs[id] == nil {
		return nil, serviceerror.NewNotFound("workflow not found")
	}
	return &workflowservice.QueryWorkflowResponse{QueryResult: encode(s.status)}, nil
}

// CountWorkflowExecutions counts the runs that have not ended, whatever the query is.
func (s *Server) CountWorkflowExecutions(
	_ context.Context, r *workflowservice.CountWorkflowExecutionsRequest,
) (*workflowservice.CountWorkflowExecutionsResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, Call{Method: "CountWorkflowExecutions", Name: r.GetQuery()})
	counted := &workflowservice.CountWorkflowExecutionsResponse{}
	for _, run := range s.runs {
		if run.Ended.IsZero() {
			counted.Count++
		}
	}
	return counted, nil
}

// StartBatchOperation begins a job that every [Server.DescribeBatchOperation] finds
// one step further.
func (s *Server) StartBatchOperation(
	_ context.Context, r *workflowservice.StartBatchOperationRequest,
) (*workflowservice.StartBatchOperationResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, Call{
		Method: "StartBatchOperation", WorkflowID: r.GetVisibilityQuery(), Name: r.GetSignalOperation().GetSignal(),
	})
	s.batch = &workflowservice.DescribeBatchOperationResponse{
		JobId: r.GetJobId(), State: enumspb.BATCH_OPERATION_STATE_RUNNING, TotalOperationCount: int64(len(s.runs)),
	}
	return &workflowservice.StartBatchOperationResponse{}, nil
}

// DescribeBatchOperation returns the job. One run after the other is done; those that
// have ended fail.
func (s *Server) DescribeBatchOperation(
	_ context.Context, r *workflowservice.DescribeBatchOperationRequest,
) (*workflowservice.DescribeBatchOperationResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, Call{Method: "DescribeBatchOperation", Name: r.GetJobId()})
	if s.batch == nil || s.batch.GetJobId() != r.GetJobId() {
		return nil, serviceerror.NewNotFound("no such job")
	}
	ended := int64(0)
	for _, run := range s.runs {
		if !run.Ended.IsZero() {
			ended++
		}
	}
	s.batch.FailureOperationCount = ended
	if s.batch.CompleteOperationCount++; s.batch.CompleteOperationCount+ended >= s.batch.TotalOperationCount {
		s.batch.State = enumspb.BATCH_OPERATION_STATE_COMPLETED
	}
	return s.batch, nil
}

// UpdateWorkflowExecution answers the update "close".
func (s *Server) UpdateWorkflowExecution(
	_ context.Context, r *workflowservice.UpdateWorkflowExecutionRequest,
) (*workflowservice.UpdateWorkflowExecutionResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recordUpdate("UpdateWorkflowExecution", r, 0)
	run, err := s.running(r.GetWorkflowExecution().GetWorkflowId(), false, 0)
	if err != nil {
		return nil, err
	}
	return s.updateResponse(r, run), nil
}

// ExecuteMultiOperation answers the update "close" with start.
func (s *Server) ExecuteMultiOperation(
	_ context.Context, r *workflowservice.ExecuteMultiOperationRequest,
) (*workflowservice.ExecuteMultiOperationResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	start, update := r.GetOperations()[0].GetStartWorkflow(), r.GetOperations()[1].GetUpdateWorkflow()
	s.recordUpdate("ExecuteMultiOperation", update, start.GetWorkflowIdReusePolicy())
	run, err := s.running(start.GetWorkflowId(), true, start.GetWorkflowIdReusePolicy())
	if err != nil {
		return nil, serviceerror.NewMultiOperationExecution("Update-with-Start could not be executed.",
			[]error{err, serviceerror.NewMultiOperationAborted("Operation was aborted.")})
	}
	type response = workflowservice.ExecuteMultiOperationResponse_Response
	started := &response{Response: &workflowservice.ExecuteMultiOperationResponse_Response_StartWorkflow{
		StartWorkflow: &workflowservice.StartWorkflowExecutionResponse{RunId: run.id, Started: true},
	}}
	updated := &response{Response: &workflowservice.ExecuteMultiOperationResponse_Response_UpdateWorkflow{
		UpdateWorkflow: s.updateResponse(update, run),
	}}
	return &workflowservice.ExecuteMultiOperationResponse{Responses: []*response{started, updated}}, nil
}

func (s *Server) recordUpdate(
	method string, r *workflowservice.UpdateWorkflowExecutionRequest, reuse enumspb.WorkflowIdReusePolicy,
) {
	s.calls = append(s.calls, Call{
		Method: method, WorkflowID: r.GetWorkflowExecution().GetWorkflowId(), Name: r.GetRequest().GetInput().GetName(),
		Reuse: reuse, Payload: first(r.GetRequest().GetInput().GetArgs()),
	})
}

func (s *Server) updateResponse(
	r *workflowservice.UpdateWorkflowExecutionRequest, run *Run,
) *workflowservice.UpdateWorkflowExecutionResponse {
	result := &updatepb.Outcome{}
	if outcome, err := s.closeResult(run.WorkflowID); err == nil {
		result.Value = &updatepb.Outcome_Success{Success: encode(outcome)}
	} else {
		result.Value = &updatepb.Outcome_Failure{Failure: temporal.GetDefaultFailureConverter().ErrorToFailure(err)}
	}
	return &workflowservice.UpdateWorkflowExecutionResponse{
		UpdateRef: &updatepb.UpdateRef{WorkflowExecution: run.execution(), UpdateId: r.GetRequest().GetMeta().GetUpdateId()},
		Outcome:   result, Stage: enumspb.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED,
	}
}

// outcome is the outcome as Temporal has stored it.
func (r Run) outcome() *commonpb.Payloads {
	encoded := encode(r.Outcome)
	if r.Codec == nil {
		return encoded
	}
	sealed, err := r.Codec.Encode(encoded.GetPayloads())
	if err != nil {
		panic(err)
	}
	return &commonpb.Payloads{Payloads: sealed}
}
