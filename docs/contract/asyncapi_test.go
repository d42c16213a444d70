package contract_test

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"sessionkeeper/conversation"
)

// operation is a signal, an update or a query of the workflow, or the workflow
// itself: its kind and its name in Temporal.
type operation struct{ kind, name string }

// payloads has the names of the schema's definitions for an operation.
type payloads struct{ input, answer []string }

// asyncAPI is the part of the AsyncAPI document that the tests read.
type asyncAPI struct {
	Servers map[string]struct {
		Temporal struct {
			SearchAttributes []string `yaml:"searchAttributes"`
		} `yaml:"x-temporal"`
	}
	Channels map[string]struct {
		Address  string
		Messages map[string]reference
		Temporal struct {
			WorkflowType string `yaml:"workflowType"`
			TaskQueue    string `yaml:"taskQueue"`
			WorkflowID   string `yaml:"workflowId"`
		} `yaml:"x-temporal"`
	}
	Operations map[string]struct {
		Messages []reference
		Reply    struct{ Messages []reference }
		Temporal struct{ Kind, Name string } `yaml:"x-temporal"`
	}
	Components struct {
		Messages map[string]struct {
			Payload struct{ Schema reference }
		}
	}
}

type reference struct {
	Ref string `yaml:"$ref"`
}

// name is the last part of a reference.
func (r reference) name() string { return r.Ref[strings.LastIndex(r.Ref, "/")+1:] }

func readAsyncAPI(t *testing.T) (document asyncAPI, whole map[string]any) {
	data, err := os.ReadFile(asyncAPIFile)
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(data, &document))
	require.NoError(t, yaml.Unmarshal(data, &whole))
	return document, whole
}

// The document must describe the operations that the Go package names, with their
// payloads, and no others.
func TestAsyncAPIHasEveryName(t *testing.T) {
	document, _ := readAsyncAPI(t)
	described := map[operation]payloads{}
	for _, o := range document.Operations {
		definitionsOf := func(messages []reference) []string {
			var names []string
			for _, message := range messages {
				if schema := document.Components.Messages[message.name()].Payload.Schema; schema.Ref != "" {
					names = append(names, schema.name())
				}
			}
			return names
		}
		described[operation{o.Temporal.Kind, o.Temporal.Name}] = payloads{
			definitionsOf(o.Messages), definitionsOf(o.Reply.Messages),
		}
	}
	require.Len(t, document.Operations, len(described), "two operations have the same kind and name")
	require.Equal(t, map[operation]payloads{
		{"workflow", conversation.WorkflowType}:      {[]string{"Start"}, []string{"Outcome", "Answer"}},
		{"signal", conversation.SignalStart}:         {[]string{"Start"}, nil},
		{"signal", conversation.SignalMessage}:       {[]string{"Message"}, nil},
		{"signal", conversation.SignalClose}:         {[]string{"Close"}, nil},
		{"signal", conversation.SignalSessionStatus}: {[]string{"SessionStatus"}, nil},
		{"signal", conversation.SignalRetry}:         {[]string{"Retry"}, nil},
		{"signal", conversation.SignalCallFailing}:   {[]string{"CallFailing"}, nil},
		{"update", conversation.UpdateClose}:         {[]string{"Close"}, []string{"Outcome", "Answer"}},
		{"query", conversation.QueryStatus}:          {nil, []string{"Status"}},
	}, described)
	require.ElementsMatch(t, operations(t), slices.Collect(maps.Keys(described)), "a name of the package is not described")

	channel := document.Channels["conversation"]
	template := conversation.Identity{OrgID: "{orgId}", ConversationIdentifier: "{conversationIdentifier}"}
	require.Equal(t, template.WorkflowID(), channel.Address)
	require.Equal(t, template.WorkflowID(), channel.Temporal.WorkflowID)
	require.Equal(t, conversation.WorkflowType, channel.Temporal.WorkflowType)
	require.Equal(t, conversation.DefaultTaskQueue, channel.Temporal.TaskQueue)
	require.Equal(t, conversation.SearchAttributes(), document.Servers["temporal"].Temporal.SearchAttributes)
	require.ElementsMatch(t, slices.Collect(maps.Keys(document.Components.Messages)),
		slices.Collect(maps.Keys(channel.Messages)))
}

func TestGuideHasEveryName(t *testing.T) {
	guide, err := os.ReadFile(guideFile)
	require.NoError(t, err)
	for _, o := range operations(t) {
		require.Contains(t, string(guide), "| "+o.kind+" | `"+o.name+"` |")
	}
	for _, attribute := range append(conversation.SearchAttributes(), conversation.DefaultTaskQueue) {
		require.Contains(t, string(guide), "`"+attribute+"`")
	}
}

// operations returns the operations for which the package has a constant.
func operations(t *testing.T) []operation {
	found := []operation{{"workflow", conversation.WorkflowType}}
	for _, c := range constants(t) {
		for prefix, kind := range map[string]string{"Signal": "signal", "Update": "update", "Query": "query"} {
			if strings.HasPrefix(c.name, prefix) {
				found = append(found, operation{kind, c.value})
			}
		}
	}
	return found
}

// Every reference must resolve, and every definition of the schema must be used.
func TestAsyncAPIReferencesResolve(t *testing.T) {
	_, whole := readAsyncAPI(t)
	data, err := os.ReadFile(schemaFile)
	require.NoError(t, err)
	var schema map[string]any
	require.NoError(t, json.Unmarshal(data, &schema))

	var used []string
	for _, ref := range references(whole) {
		if pointer, outside := strings.CutPrefix(ref, "./conversation.schema.json#"); outside {
			require.True(t, resolves(schema, pointer), ref)
			used = append(used, pointer)
			continue
		}
		require.True(t, resolves(whole, strings.TrimPrefix(ref, "#")), ref)
	}
	for _, ref := range references(schema) {
		require.True(t, resolves(schema, strings.TrimPrefix(ref, "#")), ref)
		used = append(used, strings.TrimPrefix(ref, "#"))
	}
	for name := range readDefinitions(t) {
		require.Contains(t, used, "/$defs/"+name)
	}
}

// references collects the targets of all $ref in a document.
func references(node any) []string {
	var refs []string
	switch node := node.(type) {
	case map[string]any:
		for key, value := range node {
			if target, ok := value.(string); ok && key == "$ref" {
				refs = append(refs, target)
			}
			refs = append(refs, references(value)...)
		}
	case []any:
		for _, value := range node {
			refs = append(refs, references(value)...)
		}
	}
	return refs
}

// resolves reports whether a JSON pointer points to a value of the document.
func resolves(document any, pointer string) bool {
	for part := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		object, ok := document.(map[string]any)
		if !ok || object[part] == nil {
			return false
		}
		document = object[part]
	}
	return true
}
