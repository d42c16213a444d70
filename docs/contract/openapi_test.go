package contract_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/pb33f/libopenapi"
	openapivalidator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// openAPI is the description of the receiver's API.
var openAPI = sync.OnceValue(func() []byte {
	text, err := os.ReadFile("../../internal/receiver/openapi.yaml")
	if err != nil {
		panic(err)
	}
	return text
})

// description checks requests and responses against openapi.yaml.
var description = sync.OnceValue(func() openapivalidator.Validator {
	document, err := libopenapi.NewDocument(withoutAdditionalProperties(openAPI()))
	if err != nil {
		panic(err)
	}
	v, errs := openapivalidator.NewValidator(document, config.WithFormatAssertions())
	if len(errs) > 0 {
		panic(errs[0])
	}
	return v
})

// withoutAdditionalProperties forbids fields in responses that are not described. The
// published description allows them, for later versions.
func withoutAdditionalProperties(text []byte) []byte {
	var document map[string]any
	if err := yaml.Unmarshal(text, &document); err != nil {
		panic(err)
	}
	schemas := document["components"].(map[string]any)["schemas"].(map[string]any)
	for _, name := range []string{"Accepted", "Problem", "Status", "Answer", "Outcome"} {
		schemas[name].(map[string]any)["additionalProperties"] = false
	}
	text, err := yaml.Marshal(document)
	if err != nil {
		panic(err)
	}
	return text
}

func TestDescriptionIsOpenAPI31(t *testing.T) {
	ok, errs := description().ValidateDocument()
	require.True(t, ok, "%v", errs)
	require.True(t, bytes.HasPrefix(openAPI(), []byte("openapi: 3.1")))
	var document any
	require.NoError(t, yaml.Unmarshal(openAPI(), &document))
	requireNoStrayKeys(t, document, "")
}

// requireNoStrayKeys fails at a key without a value: the part of a text after a comma
// that is not quoted.
func requireNoStrayKeys(t *testing.T, value any, path string) {
	t.Helper()
	switch value := value.(type) {
	case nil:
		require.Fail(t, "a key without a value", path)
	case map[string]any:
		for key, inner := range value {
			requireNoStrayKeys(t, inner, path+"/"+key)
		}
	case []any:
		for i, inner := range value {
			requireNoStrayKeys(t, inner, fmt.Sprint(path, "/", i))
		}
	}
}

// statusEvent returns a session-status event with additional attributes and data.
func statusEvent(attributes, data string) string {
	return `{"specversion":"1.0","id":"e","source":"/r","type":"sessionkeeper.conversation.session-status",` + attributes +
		`"data":{"sessionId":"` + session + `","conversationIdentifier":"c1",` + data + `}}`
}

// timed returns a message with this time.
func timed(time string) string {
	return regexp.MustCompile(`"time":"[^"]*"`).ReplaceAllString(message("c1"), `"time":"`+time+`"`)
}

// The server rejects exactly the requests that the description does not allow.
func TestServerAcceptsWhatDescriptionAllows(t *testing.T) {
	url := serve(t)
	const orgID = `"orgid":"00D000000000001",`
	for name, body := range map[string]string{
		"good":                       message("c1"),
		"version":                    strings.Replace(message("c1"), `"1.0"`, `"0.3"`, 1),
		"no id":                      strings.Replace(message("c1"), `"id":"e",`, ``, 1),
		"type":                       strings.Replace(message("c1"), `.message`, `.other`, 1),
		"org":                        strings.Replace(message("c1"), `00D000000000001`, `00D`, 1),
		"context":                    strings.Replace(message("c1"), `Partner1_`, `1 `, 1),
		"session":                    strings.Replace(message("c1"), session, `0Mw`, 1),
		"an org id that is not read": strings.Replace(message("c1"), `"id":"e"`, `"id":"e","orgid":"00D000000000001AAA"`, 1),
		"status, long org":           statusEvent(`"orgid":"00D000000000001AAA",`, `"sessionStatus":"Ended"`),
		"blank id":                   strings.Replace(message("c1"), `"id":"e"`, `"id":" "`, 1),
		"no end user":                strings.Replace(message("c1"), `"endUserClientId"`, `"x"`, 1),
		"long identifier":            message(strings.Repeat("x", 241)),
		"not ASCII":                  message("chât"),
		"control":                    strings.Replace(message("c1"), `"endUserClientId":"`, `"endUserClientId":"\u0085`, 1),
		"negative":                   strings.Replace(message("c1"), `"data":{`, `"data":{"policy":{"endAfter":"-5m"},`, 1),
		"policy":                     strings.Replace(message("c1"), `"data":{`, `"data":{"policy":{"inactiveAfter":"5m"},`, 1),
		"duration":                   strings.Replace(message("c1"), `"data":{`, `"data":{"policy":{"endAfter":"5"},`, 1),
		"good policy":                strings.Replace(message("c1"), `"data":{`, `"data":{"policy":{"endAfter":"1h30m"},`, 1),
		"by":                         strings.Replace(message("c1"), `"data":{`, `"data":{"by":"Agent"},`, 1),
		"status, no org":             statusEvent("", `"sessionStatus":"Ended"`),
		"status":                     statusEvent(orgID, `"sessionStatus":"Ended","sessionEndTime":1768467600000`),
		"status, no state":           statusEvent(orgID, `"sessionStatusPrev":"Active"`),
		"null":                       statusEvent(orgID, `"sessionStatus":"Ended","sessionEndTime":null`),
		"seconds":                    statusEvent(orgID, `"sessionStatus":"Ended","sessionEndTime":1768467600.5`),
		"too few seconds":            statusEvent(orgID, `"sessionStatus":"Ended","sessionEndTime":17684676`),
		"microseconds":               statusEvent(orgID, `"sessionStatus":"Ended","sessionEndTime":1768467600000000`),
		"zone, no colon":             statusEvent(orgID, `"sessionStatus":"Ended","sessionEndTime":"2026-01-15T09:00:00.000+0000"`),
		"not a time":                 statusEvent(orgID, `"sessionStatus":"Ended","sessionEndTime":"now"`),
		"longest status":             statusEvent(orgID, `"sessionStatus":"`+strings.Repeat("ä", 240)+`"`),
		"long status":                statusEvent(orgID, `"sessionStatus":"`+strings.Repeat("ä", 241)+`"`),
		"long old status":            statusEvent(orgID, `"sessionStatus":"Ended","sessionStatusPrev":"`+strings.Repeat("x", 241)+`"`),
		"long role":                  statusEvent(orgID, `"sessionStatus":"Ended","sessionEndedByRole":"`+strings.Repeat("x", 241)+`"`),
		"long address":               statusEvent(orgID, `"sessionStatus":"Ended","channelAddressIdentifier":"`+strings.Repeat("x", 241)+`"`),
		"empty role":                 statusEvent(orgID, `"sessionStatus":"Ended","sessionEndedByRole":""`),
		"longest source":             strings.Replace(message("c1"), `"/r"`, `"`+strings.Repeat("ä", 1024)+`"`, 1),
		"long source":                strings.Replace(message("c1"), `"/r"`, `"`+strings.Repeat("ä", 1025)+`"`, 1),
		"long id":                    strings.Replace(message("c1"), `"id":"e"`, `"id":"`+strings.Repeat("x", 1025)+`"`, 1),
		"line in id":                 strings.Replace(message("c1"), `"id":"e"`, `"id":"a\nb"`, 1),
		"time":                       timed("2026-01-15t09:00:00z"),
		"leap second":                timed("2016-12-31T23:59:60Z"),
		"empty time":                 timed(""),
		"year 1969":                  timed("1969-12-31T23:59:59Z"),
		"zone of a day":              timed("2026-01-15T09:00:00+24:00"),
		"no zone":                    timed("2026-01-15T09:00:00"),
	} {
		allowed, _ := description().ValidateHttpRequest(post(t, url, body))
		response, err := http.DefaultClient.Do(post(t, url, body))
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, allowed, response.StatusCode == http.StatusAccepted, name)
	}
}
