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

// DescribeWorkflowExecution tells how the last run stands.
func (s *Server) DescribeWorkflowExecution(_ context.Context, r *workflowservice.DescribeWorkflowExecutionRequest) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := r.GetExecution().GetWorkflowId()
	s.calls = append(s.calls, Call{Method: "DescribeWorkflowExecution", WorkflowID: id})
	run := s.runs[id]
	if run == nil {
		return nil, serviceerror.NewNotFound("workflow not found")
	}
	info := &workflowpb.WorkflowExecutionInfo{Execution: run.execution(), Status: enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING}
	if !run.Ended.IsZero() {
		info.Status, info.CloseTime = run.Status, timestamppb.New(run.Ended)
	}
	return &workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: info}, nil
}

func (r *Run) execution() *commonpb.WorkflowExecution {
	return &commonpb.WorkflowExecution{WorkflowId: r.WorkflowID, RunId: r.id}
}

// GetWorkflowExecutionHistory shows the event that ended the last run.
func (s *Server) GetWorkflowExecutionHistory(_ context.Context, r *workflowservice.GetWorkflowExecutionHistoryRequest) (*workflowservice.GetWorkflowExecutionHistoryResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	run := s.runs[r.GetExecution().GetWorkflowId()]
	if run == nil || run.Ended.IsZero() {
		return nil, serviceerror.NewNotFound("workflow not found")
	}
	return &workflowservice.GetWorkflowExecutionHistoryResponse{History: &historypb.History{Events: []*historypb.HistoryEvent{{
		EventId: 9, EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED,
		Attributes: &historypb.HistoryEvent_WorkflowExecutionCompletedEventAttributes{
			WorkflowExecutionCompletedEventAttributes: &historypb.WorkflowExecutionCompletedEventAttributes{Result: encode(run.Outcome)},
		},
	}}}}, nil
}

// QueryWorkflow answers with the status that the test has set.
func (s *Server) QueryWorkflow(_ context.Context, r *workflowservice.QueryWorkflowRequest) (*workflowservice.QueryWorkflowResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := r.GetExecution().GetWorkflowId()
	s.calls = append(s.calls, Call{Method: "QueryWorkflow", WorkflowID: id, Name: r.GetQuery().GetQueryType()})
	if s.runs[id] == nil {
		return nil, serviceerror.NewNotFound("workflow not found")
	}
	return &workflowservice.QueryWorkflowResponse{QueryResult: encode(s.status)}, nil
}

// ListWorkflowExecutions lists every run that goes on, one a page.
func (s *Server) ListWorkflowExecutions(_ context.Context, r *workflowservice.ListWorkflowExecutionsRequest) (*workflowservice.ListWorkflowExecutionsResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, Call{Method: "ListWorkflowExecutions", Name: r.GetQuery()})
	listed := &workflowservice.ListWorkflowExecutionsResponse{}
	for id, run := range s.runs {
		if id <= string(r.GetNextPageToken()) {
			continue
		}
		if len(listed.Executions) == 0 || id < listed.GetExecutions()[0].GetExecution().GetWorkflowId() {
			listed.Executions = []*workflowpb.WorkflowExecutionInfo{{Execution: run.execution()}}
			listed.NextPageToken = []byte(id)
		}
	}
	return listed, nil
}

// UpdateWorkflowExecution answers the update "close" of a run.
func (s *Server) UpdateWorkflowExecution(_ context.Context, r *workflowservice.UpdateWorkflowExecutionRequest) (*workflowservice.UpdateWorkflowExecutionResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.updated("UpdateWorkflowExecution", r, 0)
	run, err := s.running(r.GetWorkflowExecution().GetWorkflowId(), false, 0)
	if err != nil {
		return nil, err
	}
	return s.outcome(r, run), nil
}

// ExecuteMultiOperation answers an update-with-start.
func (s *Server) ExecuteMultiOperation(_ context.Context, r *workflowservice.ExecuteMultiOperationRequest) (*workflowservice.ExecuteMultiOperationResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	start, update := r.GetOperations()[0].GetStartWorkflow(), r.GetOperations()[1].GetUpdateWorkflow()
	s.updated("ExecuteMultiOperation", update, start.GetWorkflowIdReusePolicy())
	run, err := s.running(start.GetWorkflowId(), true, start.GetWorkflowIdReusePolicy())
	if err != nil {
		return nil, serviceerror.NewMultiOperationExecution("Update-with-Start could not be executed.",
			[]error{err, serviceerror.NewMultiOperationAborted("Operation was aborted.")})
	}
	return &workflowservice.ExecuteMultiOperationResponse{Responses: []*workflowservice.ExecuteMultiOperationResponse_Response{
		{Response: &workflowservice.ExecuteMultiOperationResponse_Response_StartWorkflow{
			StartWorkflow: &workflowservice.StartWorkflowExecutionResponse{RunId: run.id, Started: true},
		}},
		{Response: &workflowservice.ExecuteMultiOperationResponse_Response_UpdateWorkflow{UpdateWorkflow: s.outcome(update, run)}},
	}}, nil
}

func (s *Server) updated(method string, r *workflowservice.UpdateWorkflowExecutionRequest, reuse enumspb.WorkflowIdReusePolicy) {
	s.calls = append(s.calls, Call{
		Method: method, WorkflowID: r.GetWorkflowExecution().GetWorkflowId(), Name: r.GetRequest().GetInput().GetName(),
		Reuse: reuse, Payload: first(r.GetRequest().GetInput().GetArgs()),
	})
}

func (s *Server) outcome(r *workflowservice.UpdateWorkflowExecutionRequest, run *Run) *workflowservice.UpdateWorkflowExecutionResponse {
	answer := &updatepb.Outcome{}
	if outcome, err := s.closed(run.WorkflowID); err == nil {
		answer.Value = &updatepb.Outcome_Success{Success: encode(outcome)}
	} else {
		answer.Value = &updatepb.Outcome_Failure{Failure: temporal.GetDefaultFailureConverter().ErrorToFailure(err)}
	}
	return &workflowservice.UpdateWorkflowExecutionResponse{
		UpdateRef: &updatepb.UpdateRef{WorkflowExecution: run.execution(), UpdateId: r.GetRequest().GetMeta().GetUpdateId()},
		Outcome:   answer, Stage: enumspb.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED,
	}
}
