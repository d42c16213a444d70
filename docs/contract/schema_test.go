package contract_test

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
	"unicode"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"sessionkeeper/conversation"
)

// The published documents.
const (
	schemaFile   = "conversation.schema.json"
	asyncAPIFile = "asyncapi.yaml"
	guideFile    = "../wire-contract.md"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func valid() conversation.Identity {
	return conversation.Identity{
		OrgID: "00D000000000001", AuthorizationContext: "Partner1_ChannelDefinition1", ChannelAddressIdentifier: "8f5d1c1e",
		EndUserClientID: "+15550100001", ConversationIdentifier: "conv-1", SessionID: session,
	}
}

// published has the definitions of the schema that are a Go struct, each with a
// value that uses every field.
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

	"PreviousSession": previous,
	"CallFailing":     failing,
	"Closing":         closing,
}

var (
	lease  = conversation.Lease{Holder: "router-1", Duration: conversation.Duration(5 * time.Minute)}
	policy = conversation.Policy{
		InactivateAfter: new(conversation.Duration(90 * time.Second)),
		EndAfter:        new(conversation.Duration(1500 * time.Millisecond)),
		BlockedFor:      new(conversation.Duration(365 * 24 * time.Hour)), EndOnCancel: true,
	}
	sessionStatus = conversation.SessionStatus{
		SessionID: "0Mw000000000001AAA", ConversationIdentifier: "conv-1", ChannelAddressIdentifier: "8f6c1c5e",
		Status: "Ended", PreviousStatus: "Active", EndedByRole: "Agent",
		StartTime: conversation.Timestamp{Time: noon}, EndTime: conversation.Timestamp{Time: noon.Add(time.Hour)}, At: noon,
	}
	previous = conversation.PreviousSession{SessionID: "0Mw000000000001AAA", EndsEventsUntil: noon}
	closing  = conversation.Closing{By: conversation.EndUser, SessionID: "0Mw000000000001AAA", At: noon}
	failing  = conversation.CallFailing{ActivityID: "5", Since: noon, Attempts: 3, Answer: answer}
	answer   = conversation.Answer{
		Operation: conversation.End, By: conversation.System, Reason: "NO_ACCESS", AlreadyOver: true, NotActive: true, Message: "no access",
		HTTPStatus: 403, Code: "10104", RequestID: "6f1c", Attempt: 2, At: noon,
	}
	outcome = conversation.Outcome{
		Why: conversation.Closed, EndedBy: "EndUser", At: noon, EndsEventsUntil: noon, SessionID: "0Mw000000000001", StartedAt: noon,
		Attempts: 2, LastAnswer: &answer, Policy: policy,
	}
	status = conversation.Status{
		Phase: conversation.Inactive, OrgID: "00D000000000001", ConversationIdentifier: "conv-1",
		SessionID:     "0Mw000000000001",
		SessionStatus: "Inactive", StartedAt: noon, LastMessageAt: noon, LeaseUntil: noon, InactivateAt: noon, EndAt: noon,
		Calling: conversation.Inactivate, Closing: &closing, Failing: &failing, Blocked: &answer, BlockedUntil: noon, LastAnswer: &answer, Policy: policy,
		Outcome: &outcome,
	}
)

func start(provisional bool) conversation.Start {
	return conversation.Start{
		Identity: valid(), Policy: policy, At: noon, Provisional: provisional, Previous: &previous,
	}
}

// definition is the part of a JSON Schema definition or property that the tests
// read.
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

// validator is a payload with a Validate method.
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

// resolve follows references. It returns the name of the first definition on the
// way, if any, and the JSON type at the end.
func (defs definitions) resolve(d definition) (name string, jsonType any) {
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

// compile returns a schema that also checks formats, such as date-time.
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

// Fails if a field of a Go struct is added, renamed, made optional or gets another
// type, and the schema does not.
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
	name, jsonType := defs.resolve(described)
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

// Fails if a constant is added to one of these types and not to the schema.
func TestSchemaHasEveryEnumValue(t *testing.T) {
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

func TestSchemaHasTheDefaultsOfPolicy(t *testing.T) {
	data, err := json.Marshal(conversation.Policy{}.WithDefaults())
	require.NoError(t, err)
	var defaults map[string]any
	require.NoError(t, json.Unmarshal(data, &defaults))
	for name, value := range defaults {
		require.Equal(t, value, readDefinitions(t)["Policy"].Properties[name].Default, name)
	}
}

// The samples have every field, or only the required ones.
func TestSchemaAcceptsWhatGoWrites(t *testing.T) {
	for name, value := range published {
		t.Run(name, func(t *testing.T) {
			requireNoZeroField(t, reflect.ValueOf(value), name)
			data, err := json.Marshal(value)
			require.NoError(t, err)
			require.NoError(t, validate(t, compile(t, name), data), string(data))
		})
	}
	for name, smallest := range map[string]any{
		"Start": conversation.Start{
			Identity: conversation.Identity{
				OrgID: "00D000000000001", AuthorizationContext: "A", ChannelAddressIdentifier: "c", EndUserClientID: "e",
				ConversationIdentifier: "i",
			},
		},
		"Input": conversation.Start{
			Identity: conversation.Identity{OrgID: "00D000000000001", ConversationIdentifier: "i"}, Provisional: true,
		},
		"Message":       conversation.Message{},
		"Close":         conversation.Close{},
		"SessionStatus": conversation.SessionStatus{SessionID: "0Mw000000000001", Status: "Paused"},
		"Outcome":       conversation.Outcome{Why: conversation.NewSession, At: noon, EndsEventsUntil: noon},
		"Status":        conversation.Status{Phase: conversation.Active, StartedAt: noon},
		"Answer":        conversation.Answer{Operation: conversation.Inactivate, By: conversation.System, At: noon},
		"Policy":        conversation.Policy{InactivateAfter: new(conversation.Duration(0))},
	} {
		data, err := json.Marshal(smallest)
		require.NoError(t, err)
		require.NoError(t, validate(t, compile(t, name), data), "%s: %s", name, data)
	}
}

// requireNoZeroField fails if the sample leaves a field out. So a new field must be
// added to the sample.
func requireNoZeroField(t *testing.T, value reflect.Value, path string) {
	require.True(t, value.NumField() == 0 || !value.IsZero(), "the sample has no %s", path)
	for i := range value.NumField() {
		field, name := value.Field(i), path+"."+value.Type().Field(i).Name
		require.False(t, field.IsZero(), "the sample has no %s", name)
		if field.Kind() == reflect.Struct && field.Type().PkgPath() == value.Type().PkgPath() &&
			field.Type() != reflect.TypeFor[conversation.Timestamp]() {
			requireNoZeroField(t, field, name)
		}
	}
}

func TestSchemaExamplesAreValidPayloads(t *testing.T) {
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

// rejectedByGoOnly: a schema cannot add up the parts of a duration, and does not
// know how many days a month has.
var rejectedByGoOnly = []any{
	"8760h1ns", "9000h", "3000000h", "2026-02-30T09:00:00Z", "1970-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01",
	"2026-12-31T12:59:60Z",
}

// rejectedBySchemaOnly: the worker accepts more than the contract allows, namely
// null or "" in an optional field, and forms of durations and times that only Go
// reads.
var rejectedBySchemaOnly = []any{nil, "", "-0s", "+10m", ".5h", "1.h", "0001-01-01T00:00:00Z"}

// absent means: leave the field out.
const absent = "(absent)"

// Writes many values into each field of each payload. The schema and Validate must
// both accept or both reject the result.
func TestSchemaAgreesWithValidate(t *testing.T) {
	values := []any{
		absent, nil, true, 0, 1.5, -1, 1768467600000, -62167219200000, -62167219200001, 253402300799999, 253402300800000,
		map[string]any{},
		[]any{},
		"", "x", "a\nb", "a\u0085b", "a\u007fb", "\u00a0", strings.Repeat("ä", 240), strings.Repeat("ä", 241),
		strings.Repeat("A", 80), strings.Repeat("A", 81), "1A", "A b", "A_b", "Ä",
		"00D00000000001", "00D000000000001", "0Mw0000000000011", "0Mw000000000001AAA", "0Mw000000000001AAAA",
		"00D00000000000-", "00D000000000001\n",
		"EndUser", "System", "enduser", "Agent", "Ended",
		"10m", "0", "0s", "1h30m", "1.5s", "100ms", "1us", "1µs", "1ns", "8760h", "-1s", "-0s", "+10m", ".5h", "1.h", "1d",
		"600", "10 m", "m", "PT10M", "8760h1ns", "9000h", "3000000h",
		"2026-01-15T09:00:00Z", "2026-01-15T09:00:00.123456789Z", "2026-01-15T09:00:00+01:00", "2026-01-15T09:00:00.000+0000",
		"2026-01-15T09:00:00", "2026-01-15", "2026-01-15 09:00:00Z", "2026-01-15t09:00:00z", "2026-02-30T09:00:00Z",
		"2026-01-15T24:00:00Z",
		"2026-12-31T23:59:60Z", "2026-01-15T09:00:00,5Z", "2026-01-15T9:00:00Z", "2026-01-15T09:00:00+25:00",
		"20260115T090000Z", "1768467600000", 1768467600, 1768467600.5, 1e11, 1e14, 1e300, 999999999,
		"2026-01-15T09:00:00+24:00", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z",
		"1970-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01", "1969-12-31T23:59:59-00:01", "2026-12-31T12:59:60Z",
		"2016-12-31T23:59:60Z",
		"2026-01-15T09:00:00." + strings.Repeat("0", 64) + "Z",
	}
	samples := maps.Clone(published)
	samples["Start"] = start(false)
	var exceptions []any
	for _, name := range []string{"Start", "Message", "Close", "SessionStatus"} {
		schema := compile(t, name)
		data, err := json.Marshal(samples[name])
		require.NoError(t, err)
		for _, path := range fieldPaths(t, data) {
			for _, value := range values {
				changed := replaceField(t, data, path, value)
				read := reflect.New(reflect.TypeOf(samples[name])).Interface().(validator)
				goErr := json.Unmarshal(changed, read)
				if goErr == nil {
					goErr = read.Validate()
				}
				schemaErr := validate(t, schema, changed)
				switch {
				case goErr == nil && schemaErr != nil:
					require.Contains(t, rejectedBySchemaOnly, value,
						"%s.%s: only the schema rejects it: %v", name, path, schemaErr)
					exceptions = append(exceptions, value)
				case goErr != nil && schemaErr == nil:
					require.Contains(t, rejectedByGoOnly, value,
						"%s.%s: only Go rejects it: %v", name, path, goErr)
					exceptions = append(exceptions, value)
				}
			}
		}
	}
	require.Subset(t, exceptions, rejectedBySchemaOnly, "no longer an exception")
	require.Subset(t, exceptions, rejectedByGoOnly, "no longer an exception")
}

// What Validate accepts can be written, is accepted by the schema, and has the same
// value when it is read again. A Go program may have a time in any zone.
func TestValidPayloadsCanBeWritten(t *testing.T) {
	schemas := map[string]*jsonschema.Schema{}
	for _, name := range []string{"Start", "Message", "Close", "SessionStatus"} {
		schemas[name] = compile(t, name)
	}
	checked, valid := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		at := drawTime(t)
		text := rapid.OneOf(
			rapid.StringOf(rapid.RuneFrom(nil, unicode.L, unicode.N, unicode.S)).Filter(func(s string) bool { return s != "" }),
			rapid.StringN(1, 300, -1), rapid.Just("a\xffb"),
		).Draw(t, "text")
		duration := conversation.Duration(rapid.OneOf(
			rapid.Int64Range(0, int64(365*24*time.Hour)), rapid.Int64(),
		).Draw(t, "duration"))
		name := rapid.SampledFrom(slices.Sorted(maps.Keys(schemas))).Draw(t, "payload")
		payload := payloadOf(name, text, duration, at)
		checked++
		if payload.Validate() != nil {
			return
		}
		valid++
		data, err := json.Marshal(payload)
		require.NoError(t, err)
		instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		require.NoError(t, err)
		require.NoError(t, schemas[name].Validate(instance), "%s", data)
		read := reflect.New(reflect.TypeOf(payload).Elem()).Interface()
		require.NoError(t, json.Unmarshal(data, read), "%s", data)
		require.Equal(t, payloadOf(name, text, duration, at.UTC()), read)
	})
	require.Greater(t, valid, checked/5, "of %d, too few were valid", checked)
}

// payloadOf returns a payload with these values in its fields.
func payloadOf(name, text string, duration conversation.Duration, at time.Time) validator {
	id := valid()
	id.EndUserClientID, id.ChannelAddressIdentifier = text, text
	return map[string]validator{
		"Start": &conversation.Start{
			Identity: id, At: at, Policy: conversation.Policy{EndAfter: &duration},
			Previous: &conversation.PreviousSession{EndsEventsUntil: at},
		},
		"Message": &conversation.Message{At: at, Lease: conversation.Lease{Holder: text, Duration: duration}},
		"Close":   &conversation.Close{At: at},
		"SessionStatus": &conversation.SessionStatus{
			SessionID: id.SessionID, Status: text, PreviousStatus: text, EndedByRole: text, At: at,
			StartTime: conversation.Timestamp{Time: at}, EndTime: conversation.Timestamp{Time: at},
		},
	}[name]
}

// drawTime returns a time near the ends of the range or now, in a zone that may be odd.
func drawTime(t *rapid.T) time.Time {
	base := rapid.SampledFrom([]time.Time{
		noon, noon, noon, time.Unix(0, 0), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC),
	}).Draw(t, "near")
	zone := rapid.IntRange(-25*3600, 25*3600).Draw(t, "zone")
	if rapid.IntRange(0, 3).Draw(t, "whole minutes") > 0 {
		zone -= zone % 60
	}
	return base.Add(time.Duration(rapid.Int64Range(-1e14, 1e14).Draw(t, "distance"))).In(time.FixedZone("", zone))
}

// The error names the field and repeats nothing of the text.
func TestEveryTextHasALimit(t *testing.T) {
	for name, sample := range map[string]validator{
		"Start": new(start(false)), "Message": new(conversation.Message{SessionID: "0Mw000000000001AAA", At: noon}),
		"Close":         &conversation.Close{By: conversation.EndUser, SessionID: "0Mw000000000001AAA", At: noon},
		"SessionStatus": &sessionStatus, "CallFailing": &failing, "Lease": &lease,
	} {
		data, err := json.Marshal(sample)
		require.NoError(t, err)
		for _, path := range fieldPaths(t, data) {
			read := reflect.New(reflect.TypeOf(sample).Elem()).Interface().(validator)
			err := json.Unmarshal(replaceField(t, data, path, strings.Repeat("x", 1<<20)), read)
			if err == nil {
				err = read.Validate()
			}
			require.ErrorContains(t, err, path, name)
			require.Less(t, len(err.Error()), 400, name)
			require.NotContains(t, err.Error(), "xxx", name)
		}
	}
}

// fieldPaths returns the names of the fields of an object, and of its policy as
// "policy.<name>".
func fieldPaths(t *testing.T, data []byte) []string {
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

// replaceField returns the object with another value at a path.
func replaceField(t *testing.T, data []byte, path string, value any) []byte {
	var object map[string]any
	require.NoError(t, json.Unmarshal(data, &object))
	parent, name := object, path
	if outer, inner, nested := strings.Cut(path, "."); nested {
		parent, name = object[outer].(map[string]any), inner
	}
	parent[name] = value
	if value == any(absent) {
		delete(parent, name)
	}
	changed, err := json.Marshal(object)
	require.NoError(t, err)
	return changed
}

// A later version may add fields. An older schema must accept them.
func TestSchemaAcceptsUnknownFields(t *testing.T) {
	for name, value := range published {
		data, err := json.Marshal(value)
		require.NoError(t, err)
		require.NoError(t, validate(t, compile(t, name), replaceField(t, data, "addedLater", map[string]any{"a": 1})), name)
	}
}

func TestSchemaAcceptsOnlyObjects(t *testing.T) {
	for name := range published {
		for _, data := range []string{`null`, `[]`, `""`, `0`, `true`} {
			require.Error(t, validate(t, compile(t, name), []byte(data)), "%s: %s", name, data)
		}
	}
}

// constant is an exported string constant of the package.
type constant struct{ name, typeName, value string }

// constants reads the constants from the source of the package: reflection does not
// have them.
func constants(t *testing.T) []constant {
	files, err := filepath.Glob("../../conversation/*.go")
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
