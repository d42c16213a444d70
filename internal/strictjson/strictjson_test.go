package strictjson_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sessionkeeper/internal/strictjson"
)

type inner struct {
	EndAfter *duration `json:"endAfter"`
}

type duration time.Duration

func (d *duration) UnmarshalJSON(text []byte) error {
	parsed, err := time.ParseDuration(strings.Trim(string(text), `"`))
	*d = duration(parsed)
	return err
}

type embedded struct {
	OrgID string `json:"orgId"`
}

type document struct {
	embedded
	Name   string          `json:"name"`
	Count  int             `json:"count"`
	Policy inner           `json:"policy"`
	List   []inner         `json:"list"`
	Raw    json.RawMessage `json:"raw"`
}

func TestUnmarshal(t *testing.T) {
	var got document
	require.NoError(t, strictjson.Unmarshal([]byte(` {"orgId":"a","name":"é\u00e9","count":2,"policy":{"endAfter":"1s"},
		"list":[{}],"raw":{"Z":1,"z":2},"unknown":{"name":1,"NAME":2}} `), &got))
	require.Equal(t, "a", got.OrgID)
	require.Equal(t, "éé", got.Name)
	require.Equal(t, duration(time.Second), *got.Policy.EndAfter)
}

func TestUnmarshalRefuses(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"invalid UTF-8":                {"{\"name\":\"caf\xe9\"}", "name is not valid UTF-8"},
		"invalid UTF-8, not a field":   {"{\"other\":\"caf\xe9\"}", "is not valid UTF-8"},
		"a lone surrogate":             {`{"name":"\ud800"}`, "name is not valid UTF-8"},
		"a lone surrogate as a name":   {`{"\udc00":1}`, "is not valid UTF-8"},
		"a name twice":                 {`{"orgId":"a","orgId":"b"}`, "orgId occurs twice"},
		"an unknown name twice":        {`{"secret":"a","secret":"b"}`, "has a name that occurs twice"},
		"a name twice, deeper":         {`{"policy":{"endAfter":"1s","endAfter":"2s"}}`, "policy.endAfter occurs twice"},
		"a name twice, in a list":      {`{"list":[{"endAfter":"1s","endAfter":"2s"}]}`, "list.endAfter occurs twice"},
		"a name twice, unknown object": {`{"other":{"a":{"b":1,"b":2}}}`, "has a name that occurs twice"},
		"a name twice, raw":            {`{"raw":{"b":1,"b":2}}`, "raw has a name that occurs twice"},
		"the same name, escaped":       {`{"orgId":"a","org\u0049d":"b"}`, "orgId occurs twice"},
		"other case":                   {`{"ORGID":"a"}`, "orgId is spelled with other upper and lower case"},
		"other case, after the right":  {`{"orgId":"a","orgid":"b"}`, "orgId is spelled with other upper and lower case"},
		"other case, deeper":           {`{"policy":{"EndAfter":"1s"}}`, "policy.endAfter is spelled with other upper and lower case"},
		"other case, by folding":       {`{"na\u006De":"a","polic\u0059":{}}`, "policy is spelled with other upper and lower case"},
		"a long s":                     {`{"li\u017Ft":[]}`, "list is spelled with other upper and lower case"},
		"a Kelvin sign":                {`{"\u212A":1,"k":2}`, "has two names that differ only in case"},
		"unknown names by case":        {`{"secret":1,"Secret":2}`, "has two names that differ only in case"},
		"a wrong type":                 {`{"name":7}`, "name must be a string, not a JSON number"},
		"a number with a fraction":     {`{"count":49151123.5}`, "count must be a whole number"},
		"too large a number":           {`{"count":49151123e99}`, "count must be a whole number"},
		"not JSON, in UTF-8":           {`{"UTF-8 secret":{"surrogate":x}}`, "is not valid JSON"},
		"a wrong type, deeper":         {`{"policy":7}`, "policy must be an object, not a JSON number"},
		"a wrong value, deeper":        {`{"policy":{"endAfter":"soon"}}`, "policy.endAfter "},
		"not JSON":                     {`{"name":`, "name is not valid JSON"},
		"two values":                   {`{} {}`, "has more than one JSON value"},
		"text after the value":         {`{}x`, "has more than one JSON value"},
		"nothing":                      {``, "is not valid JSON"},
		"too deep":                     {strings.Repeat(`{"a":`, 2000) + "1" + strings.Repeat("}", 2000), "is nested too deeply"},
		"too deep, a list":             {`{"raw":` + strings.Repeat(`[`, 100_000), "raw is nested too deeply"},
	} {
		t.Run(name, func(t *testing.T) {
			var got document
			err := strictjson.Unmarshal([]byte(tt.text), &got)
			require.ErrorContains(t, err, tt.want)
			require.NotContains(t, strings.ToLower(err.Error()), "49151123", "a value is not repeated")
			require.NotContains(t, err.Error(), "embedded")
			require.NotContains(t, strings.ToLower(err.Error()), "secret", "a name that is not ours is not repeated")
		})
	}
}
