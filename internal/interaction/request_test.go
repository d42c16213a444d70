package interaction_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"sessionkeeper/internal/interaction"
)

func TestValidRequests(t *testing.T) {
	require.NoError(t, validRequest().Validate())

	smallest := validRequest()
	smallest.SessionID, smallest.OperationBy = "", ""
	require.NoError(t, smallest.Validate())

	longest := validRequest()
	longest.EndUserClientID = strings.Repeat("ü", 240)
	require.NoError(t, longest.Validate(), "the limit counts characters, not bytes")
}

func TestValidationNamesEveryWrongField(t *testing.T) {
	err := interaction.Request{}.Validate()
	require.ErrorIs(t, err, interaction.ErrInvalidRequest)
	for _, field := range []string{
		"OrgID", "AuthorizationContext", "ChannelAddressIdentifier", "EndUserClientID",
		"ConversationIdentifier", "Operation", "RequestID",
	} {
		require.ErrorContains(t, err, field)
	}
	require.NotContains(t, err.Error(), "OperationBy")
	require.NotContains(t, err.Error(), "SessionID")
	require.NotContains(t, err.Error(), "\n")
}

func TestInvalidFields(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*interaction.Request)
		field  string
	}{
		"18-character org id":  {func(r *interaction.Request) { r.OrgID = "00D000000000001AAA" }, "OrgID"},
		"line break in org id": {func(r *interaction.Request) { r.OrgID = "00D0000\r\nX: 01" }, "OrgID"},
		"header injection": {
			func(r *interaction.Request) { r.AuthorizationContext = "A\r\nX-Evil: 1" }, "AuthorizationContext",
		},
		"space in header": {
			func(r *interaction.Request) { r.AuthorizationContext = "A B" }, "AuthorizationContext",
		},
		"non-ASCII header": {func(r *interaction.Request) { r.AuthorizationContext = "Ä" }, "AuthorizationContext"},
		"long header": {
			func(r *interaction.Request) { r.AuthorizationContext = strings.Repeat("A", 241) }, "AuthorizationContext",
		},
		"long channel": {
			func(r *interaction.Request) { r.ChannelAddressIdentifier = strings.Repeat("a", 241) }, "ChannelAddressIdentifier",
		},
		"blank end user": {func(r *interaction.Request) { r.EndUserClientID = "  " }, "EndUserClientID"},
		"long end user": {
			func(r *interaction.Request) { r.EndUserClientID = strings.Repeat("7", 241) }, "EndUserClientID",
		},
		"end user not UTF-8": {func(r *interaction.Request) { r.EndUserClientID = "secret\xff" }, "EndUserClientID"},
		"line break": {
			func(r *interaction.Request) { r.ConversationIdentifier = "conversation\n" }, "ConversationIdentifier",
		},
		"long session":              {func(r *interaction.Request) { r.SessionID = strings.Repeat("a", 241) }, "SessionID"},
		"operation of another case": {func(r *interaction.Request) { r.Operation = "end" }, "Operation"},
		"unknown party":             {func(r *interaction.Request) { r.OperationBy = "Agent" }, "OperationBy"},
		"no request id":             {func(r *interaction.Request) { r.RequestID = uuid.Nil }, "RequestID"},
	} {
		t.Run(name, func(t *testing.T) {
			request := validRequest()
			test.change(&request)
			err := request.Validate()
			require.ErrorIs(t, err, interaction.ErrInvalidRequest)
			require.Contains(t, err.Error(), test.field+" ")
			require.NotContains(t, err.Error(), ";", "the other fields are valid")
			require.NotContains(t, err.Error(), "secret")
		})
	}
}

func TestInvalidRequestIsNeverSent(t *testing.T) {
	server := serve(t, success)
	request := validRequest()
	request.Operation = "Pause"
	_, err := newClient(t, server.URL, newTokens(), interaction.ClientOptions{}).MessagingSession(t.Context(), request)
	var failure *interaction.Error
	require.ErrorAs(t, err, &failure)
	require.ErrorIs(t, err, interaction.ErrInvalidRequest)
	require.True(t, failure.NotSent)
	require.Empty(t, server.requests())
}

func TestFormattedRequestHidesTheEndUser(t *testing.T) {
	request := validRequest()
	for _, value := range []any{request, &request} {
		shown := allFormats(value)
		require.NotContains(t, shown, "900123")
		require.Contains(t, shown, "[redacted]")
		require.Contains(t, shown, "conversation-1")
	}
	encoded, err := json.Marshal(request)
	require.NoError(t, err)
	require.NotContains(t, string(encoded), "900123")
}

func TestResendIDDependsOnlyOnTheFirstID(t *testing.T) {
	first := validRequest().RequestID
	require.Equal(t, "f82ab26e-3332-5925-8c0a-997180c2c505", interaction.ResendID(first).String())
	require.NotEqual(t, first, interaction.ResendID(first))
	require.NotEqual(t, interaction.ResendID(uuid.New()), interaction.ResendID(first))
}
