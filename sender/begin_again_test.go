package sender

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/converter"

	"sessionkeeper/conversation"
	"sessionkeeper/workflows"
)

// The identity that counts at the beginning of a run is that of its input. In a run that
// continues another one, it is that of the state.
func TestReadInput(t *testing.T) {
	recorded := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	input := conversation.Identity{OrgID: "00D000000000001", ConversationIdentifier: "c1", EndUserClientID: "input"}
	carried := conversation.Identity{OrgID: "00D000000000001", ConversationIdentifier: "c1", EndUserClientID: "state"}
	for name, test := range map[string]struct {
		continued    string
		start        conversation.Start
		identifiedAt time.Time
		want         conversation.Identity
		wantTime     time.Time
		provisional  bool
	}{
		"first run":       {"", conversation.Start{Identity: input, At: recorded.Add(-1)}, recorded, input, recorded.Add(-1), false},
		"without a time":  {"", conversation.Start{Identity: input}, recorded, input, recorded, false},
		"provisional":     {"", conversation.Start{Identity: input, Provisional: true}, recorded, input, time.Time{}, true},
		"continued":       {"run", conversation.Start{Identity: input}, recorded.Add(-5), carried, recorded.Add(-5), false},
		"continued, none": {"run", conversation.Start{Identity: input}, time.Time{}, carried, time.Time{}, true},
	} {
		payloads, err := converter.GetDefaultDataConverter().ToPayloads(
			test.start, workflows.State{Identity: carried, IdentifiedAt: test.identifiedAt})
		require.NoError(t, err)
		i := identification{converter: converter.GetDefaultDataConverter()}
		err = i.readInput(&historypb.WorkflowExecutionStartedEventAttributes{
			Input: payloads, ContinuedExecutionRunId: test.continued,
		}, recorded)
		require.NoError(t, err, name)
		require.Equal(t, test.want, i.start.Identity, name)
		require.Equal(t, test.wantTime, i.at, name)
		require.Equal(t, test.provisional, i.start.Provisional, name)
	}
}
