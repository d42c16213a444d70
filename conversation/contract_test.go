package conversation_test

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"sessionkeeper/conversation"
)

// The published documents.
const (
	schemaFile   = "../docs/contract/conversation.schema.json"
	asyncAPIFile = "../docs/contract/asyncapi.yaml"
	guideFile    = "../docs/wire-contract.md"
)

// published are the definitions of the schema that are a Go struct, with one
// value of each that uses every field.
var published = map[string]any{
	"Input":         start(true),
	"Message":       conversation.Message{SessionID: "0Mw000000000001AAA", At: noon, Lease: lease},
	"Close":         conversation.Close{By: conversation.EndUser, SessionID: "0Mw000000000001AAA", At: noon},
	"SessionStatus": sessionStatus,
	"Retry":         conversation.Retry{},
	"Outcome":       outcome,
	"Status":        status,
	"Answer":        answer,
	"Policy":        policy,
	"Lease":         lease,
}

var (
	lease  = conversation.Lease{Holder: "router-1", Duration: conversation.Duration(5 * time.Minute)}
	policy = conversation.Policy{
		InactivateAfter: new(conversation.Duration(90 * time.Second)), EndAfter: new(conversation.Duration(1500 * time.Millisecond)),
		BlockedFor: new(conversation.Duration(365 * 24 * time.Hour)), EndOnCancel: true,
	}
	sessionStatus = conversation.SessionStatus{
		SessionID: "0Mw000000000001AAA", ConversationIdentifier: "conv-1", ChannelAddressIdentifier: "8f6c1c5e",
		Status: "Ended", PreviousStatus: "Active", EndedByRole: "Agent",
		StartTime: conversation.Timestamp{Time: noon}, EndTime: conversation.Timestamp{Time: noon.Add(time.Hour)}, At: noon,
	}
	answer = conversation.Answer{
		Operation: conversation.End, By: conversation.System, Reason: "NO_ACCESS", AlreadyOver: true, Message: "no access",
		HTTPStatus: 403, Code: "10104", RequestID: "6f1c", Attempt: 2, At: noon,
	}
	outcome = conversation.Outcome{
		Why: conversation.Closed, EndedBy: "EndUser", At: noon, EndsEventsUntil: noon, SessionID: "0Mw000000000001", Attempts: 2, LastAnswer: &answer,
	}
	status = conversation.Status{
		Phase: conversation.Inactive, OrgID: "00D000000000001", ConversationIdentifier: "conv-1", SessionID: "0Mw000000000001",
		SessionStatus: "Inactive", StartedAt: noon, LastMessageAt: noon, LeaseUntil: noon, InactivateAt: noon, EndAt: noon,
		Calling: conversation.Inactivate, Blocked: &answer, BlockedUntil: noon, LastAnswer: &answer, Policy: policy, Outcome: &outcome,
	}
)

func start(provisional bool) conversation.Start {
	return conversation.Start{Identity: valid(), Policy: policy, At: noon, Lease: lease, Provisional: provisional}
}

// definition is what this test asks about a definition or a property.
type definition struct {
	Ref        string                `json:"$ref"`
	AllOf      []definition          `json:"allOf"`
	Type       any                   `json:"type"`
	Required   []string              `json:"required"`
	Properties map[string]definition `json:"properties"`
	Enum       []string              `json:"enum"`
	Default    any                   `json:"default"`
	Examples   []json.RawMessage     `json:"examples"`
}

type definitions map[string]definition

// validator is a payload that the worker checks.
type validator interface{ Validate() error }

func readDefinitions(t *testing.T) definitions {
	var schema struct {
		Defs definitions `json:"$defs"`
	}
	data, err := os.ReadFile(schemaFile)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &schema))
	return schema.Defs
}

// kind is the name of a property's definition, or of the JSON type beneath it.
func (defs definitions) kind(d definition) (name string, jsonType any) {
	if len(d.AllOf) == 1 {
		d = d.AllOf[0]
	}
	for d.Ref != "" {
		ref := strings.TrimPrefix(d.Ref, "#/$defs/")
		if name == "" {
			name = ref
		}
		d = defs[ref]
	}
	return name, d.Type
}

// compile makes a definition ready to validate by, formats included.
func compile(t *testing.T, name string) *jsonschema.Schema {
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	schema, err := compiler.Compile(schemaFile + "#/$defs/" + name)
	require.NoError(t, err)
	return schema
}

func validate(t *testing.T, schema *jsonschema.Schema, data []byte) error {
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	require.NoError(t, err)
	return schema.Validate(instance)
}

// A field that is added, renamed, made optional or given another type has to be
// published.
func TestSchemaHasEveryField(t *testing.T) {
	defs := readDefinitions(t)
	for name, value := range published {
		t.Run(name, func(t *testing.T) {
			var names, required []string
			for _, field := range reflect.VisibleFields(reflect.TypeOf(value)) {
				tag, has := field.Tag.Lookup("json")
				if field.Anonymous && !has {
					continue
				}
				property, options, _ := strings.Cut(tag, ",")
				names = append(names, property)
				if !strings.Contains(options, "omit") {
					required = append(required, property)
				}
				described, ok := defs[name].Properties[property]
				require.True(t, ok, "%s is not in the schema", property)
				requireKind(t, defs, field, described)
			}
			require.ElementsMatch(t, names, slices.Collect(maps.Keys(defs[name].Properties)))
			require.ElementsMatch(t, required, defs[name].Required)
		})
	}
}

func requireKind(t *testing.T, defs definitions, field reflect.StructField, described definition) {
	name, jsonType := defs.kind(described)
	goType := field.Type
	if goType.Kind() == reflect.Pointer {
		goType = goType.Elem()
	}
	switch {
	case goType == reflect.TypeFor[time.Time]():
		require.Equal(t, "Time", name, field.Name)
	case goType == reflect.TypeFor[conversation.Timestamp]():
		require.Equal(t, "SalesforceTime", name, field.Name)
	case goType.Name() != goType.Kind().String():
		require.Equal(t, goType.Name(), name, field.Name)
	default:
		want := map[reflect.Kind]string{reflect.String: "string", reflect.Int: "integer", reflect.Bool: "boolean"}
		require.Equal(t, want[goType.Kind()], jsonType, field.Name)
	}
}

// A value that is added to one of the vocabulary's types has to be published.
func TestSchemaHasEveryValue(t *testing.T) {
	defs := readDefinitions(t)
	values := map[string][]string{}
	for _, c := range constants(t) {
		values[c.typeName] = append(values[c.typeName], c.value)
	}
	for _, name := range []string{"Phase", "Why", "By", "Operation"} {
		require.NotEmpty(t, values[name], name)
		require.ElementsMatch(t, values[name], defs[name].Enum, name)
	}
}

func TestSchemaHasTheDefaults(t *testing.T) {
	data, err := json.Marshal(conversation.Policy{}.WithDefaults())
	require.NoError(t, err)
	var defaults map[string]any
	require.NoError(t, json.Unmarshal(data, &defaults))
	for name, value := range defaults {
		require.Equal(t, value, readDefinitions(t)["Policy"].Properties[name].Default, name)
	}
}

// What Go writes is what the schema describes, with every field and with none
// of the optional ones.
func TestSchemaTakesWhatGoWrites(t *testing.T) {
	for name, value := range published {
		t.Run(name, func(t *testing.T) {
			requireFull(t, reflect.ValueOf(value), name)
			data, err := json.Marshal(value)
			require.NoError(t, err)
			require.NoError(t, validate(t, compile(t, name), data), string(data))
		})
	}
	for name, least := range map[string]any{
		"Start":         conversation.Start{Identity: conversation.Identity{OrgID: "00D000000000001", AuthorizationContext: "A", ChannelAddressIdentifier: "c", EndUserClientID: "e", ConversationIdentifier: "i"}},
		"Input":         conversation.Start{Identity: conversation.Identity{OrgID: "00D000000000001", ConversationIdentifier: "i"}, Provisional: true},
		"Message":       conversation.Message{},
		"Close":         conversation.Close{},
		"SessionStatus": conversation.SessionStatus{SessionID: "0Mw000000000001", Status: "Paused"},
		"Outcome":       conversation.Outcome{Why: conversation.NewSession, At: noon, EndsEventsUntil: noon},
		"Status":        conversation.Status{Phase: conversation.Active, StartedAt: noon},
		"Answer":        conversation.Answer{Operation: conversation.Inactivate, By: conversation.System, At: noon},
		"Policy":        conversation.Policy{InactivateAfter: new(conversation.Duration(0))},
	} {
		data, err := json.Marshal(least)
		require.NoError(t, err)
		require.NoError(t, validate(t, compile(t, name), data), "%s: %s", name, data)
	}
}

// requireFull fails on a sample that leaves a field out, so that a new field is
// tried too.
func requireFull(t *testing.T, value reflect.Value, path string) {
	require.True(t, value.NumField() == 0 || !value.IsZero(), "the sample has no %s", path)
	for i := range value.NumField() {
		field, name := value.Field(i), path+"."+value.Type().Field(i).Name
		require.False(t, field.IsZero(), "the sample has no %s", name)
		if field.Kind() == reflect.Struct && field.Type().PkgPath() == value.Type().PkgPath() && field.Type() != reflect.TypeFor[conversation.Timestamp]() {
			requireFull(t, field, name)
		}
	}
}

// The examples are what they are examples of, in every field.
func TestSchemaExamples(t *testing.T) {
	defs := readDefinitions(t)
	for name, definition := range defs {
		schema := compile(t, name)
		goType := reflect.TypeOf(published[name])
		if name == "Start" {
			goType = reflect.TypeFor[conversation.Start]()
		}
		if goType != nil && name != "Policy" {
			require.NotEmpty(t, definition.Examples, name)
		}
		for _, example := range definition.Examples {
			require.NoError(t, validate(t, schema, example), "%s: %s", name, example)
			if goType == nil {
				continue
			}
			decoder := json.NewDecoder(bytes.NewReader(example))
			decoder.DisallowUnknownFields()
			value := reflect.New(goType).Interface()
			require.NoError(t, decoder.Decode(value), "%s: %s", name, example)
			if checked, ok := value.(validator); ok && name != "Input" {
				require.NoError(t, checked.Validate(), "%s: %s", name, example)
			}
		}
	}
}

// Only the worker can tell these: a schema cannot add durations up, and has no
// calendar for Salesforce's times.
var subtle = []any{"8760h1ns", "9000h", "3000000h", "2026-02-30T09:00:00Z"}

// The worker takes these beyond the contract: nothing in an optional field, and
// what Go alone reads as a duration or a time.
var lenient = []any{nil, "", "-0s", "+10m", ".5h", "1.h", "2026-01-15T09:00:00,5Z", "2026-01-15T9:00:00Z"}

// absent stands for a field that is left out.
const absent = "(absent)"

// Whatever a sender writes into a field, the schema and the worker say the same
// of it.
func TestSchemaAgreesWithValidate(t *testing.T) {
	values := []any{
		absent, nil, true, 0, 1.5, -1, 1768467600000, -62167219200000, -62167219200001, 253402300799999, 253402300800000,
		map[string]any{},
		[]any{},
		"", "x", "a\nb", "a\u0085b", "a\u007fb", "\u00a0", strings.Repeat("ä", 240), strings.Repeat("ä", 241),
		strings.Repeat("A", 80), strings.Repeat("A", 81), "1A", "A b", "A_b", "Ä",
		"00D00000000001", "00D000000000001", "0Mw0000000000011", "0Mw000000000001AAA", "0Mw000000000001AAAA", "00D00000000000-", "00D000000000001\n",
		"EndUser", "System", "enduser", "Agent", "Ended",
		"10m", "0", "0s", "1h30m", "1.5s", "100ms", "1us", "1µs", "1ns", "8760h", "-1s", "-0s", "+10m", ".5h", "1.h", "1d", "600", "10 m", "m", "PT10M", "8760h1ns", "9000h", "3000000h",
		"2026-01-15T09:00:00Z", "2026-01-15T09:00:00.123456789Z", "2026-01-15T09:00:00+01:00", "2026-01-15T09:00:00.000+0000",
		"2026-01-15T09:00:00", "2026-01-15", "2026-01-15 09:00:00Z", "2026-01-15t09:00:00z", "2026-02-30T09:00:00Z", "2026-01-15T24:00:00Z",
		"2026-12-31T23:59:60Z", "2026-01-15T09:00:00,5Z", "2026-01-15T9:00:00Z", "2026-01-15T09:00:00+25:00", "20260115T090000Z", "1768467600000",
	}
	whole := maps.Clone(published)
	whole["Start"] = start(false)
	var exceptions []any
	for _, name := range []string{"Start", "Message", "Close", "SessionStatus"} {
		schema := compile(t, name)
		data, err := json.Marshal(whole[name])
		require.NoError(t, err)
		for _, path := range fields(t, data) {
			for _, value := range values {
				changed := with(t, data, path, value)
				read := reflect.New(reflect.TypeOf(whole[name])).Interface().(validator)
				goErr := json.Unmarshal(changed, read)
				if goErr == nil {
					goErr = read.Validate()
				}
				schemaErr := validate(t, schema, changed)
				switch {
				case goErr == nil && schemaErr != nil:
					require.Contains(t, lenient, value, "%s.%s: only the schema refuses it: %v", name, path, schemaErr)
					exceptions = append(exceptions, value)
				case goErr != nil && schemaErr == nil:
					require.Contains(t, subtle, value, "%s.%s: only the worker refuses it: %v", name, path, goErr)
					exceptions = append(exceptions, value)
				}
			}
		}
	}
	require.Subset(t, exceptions, lenient, "an exception that is none any more")
	require.Subset(t, exceptions, subtle, "an exception that is none any more")
}

// fields are the paths of an object's fields, those of its policy too.
func fields(t *testing.T, data []byte) []string {
	var object map[string]any
	require.NoError(t, json.Unmarshal(data, &object))
	paths := slices.Collect(maps.Keys(object))
	if inner, ok := object["policy"].(map[string]any); ok {
		for name := range inner {
			paths = append(paths, "policy."+name)
		}
	}
	return paths
}

// with is the object with another value at a path.
func with(t *testing.T, data []byte, path string, value any) []byte {
	var object map[string]any
	require.NoError(t, json.Unmarshal(data, &object))
	holder, name := object, path
	if outer, inner, nested := strings.Cut(path, "."); nested {
		holder, name = object[outer].(map[string]any), inner
	}
	holder[name] = value
	if value == any(absent) {
		delete(holder, name)
	}
	changed, err := json.Marshal(object)
	require.NoError(t, err)
	return changed
}

// Later versions add fields: nothing may refuse them.
func TestSchemaTakesUnknownFields(t *testing.T) {
	for name, value := range published {
		data, err := json.Marshal(value)
		require.NoError(t, err)
		require.NoError(t, validate(t, compile(t, name), with(t, data, "addedLater", map[string]any{"a": 1})), name)
	}
}

func TestSchemaTakesOnlyObjects(t *testing.T) {
	for name := range published {
		for _, data := range []string{`null`, `[]`, `""`, `0`, `true`} {
			require.Error(t, validate(t, compile(t, name), []byte(data)), "%s: %s", name, data)
		}
	}
}

// constant is one that the package declares.
type constant struct{ name, typeName, value string }

// constants reads the string constants that the package exports from its source:
// reflection does not know them.
func constants(t *testing.T) []constant {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	var found []constant
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		require.NoError(t, err)
		ast.Inspect(parsed, func(node ast.Node) bool {
			spec, ok := node.(*ast.ValueSpec)
			if !ok || len(spec.Values) != 1 || !spec.Names[0].IsExported() {
				return true
			}
			literal, ok := spec.Values[0].(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			value, err := strconv.Unquote(literal.Value)
			require.NoError(t, err)
			c := constant{name: spec.Names[0].Name, value: value}
			if typeName, ok := spec.Type.(*ast.Ident); ok {
				c.typeName = typeName.Name
			}
			found = append(found, c)
			return true
		})
	}
	return found
}
