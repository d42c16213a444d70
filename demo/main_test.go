package main

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
)

func TestWebUIAddress(t *testing.T) {
	const path = "/namespaces/default/workflows?query=TaskQueue%3D%27q%27"
	for hostPort, want := range map[string]string{
		"localhost:7233":                        "http://localhost:8233" + path,
		"127.0.0.1:17233":                       "http://127.0.0.1:18233" + path,
		"example.tmprl.cloud:7233":              "https://cloud.temporal.io" + path,
		"us-east-1.aws.api.temporal.io:7233":    "https://cloud.temporal.io" + path,
		"temporal.example.com:7233":             "",
		"dns:///temporal.internal.example:7233": "",
		"no port":                               "",
	} {
		require.Equal(t, want, webUI(hostPort, "default", "q"), hostPort)
	}
}

func TestRegistrationCommand(t *testing.T) {
	require.Equal(t, "temporal operator search-attribute create --address localhost:7233 --namespace default"+
		" --name SessionPhase --type Keyword --name OrgId --type Keyword --name ErrorReason --type Keyword",
		registrationCommand(client.Options{HostPort: "localhost:7233", Namespace: "default"}))
	require.Equal(t, "tcld namespace search-attributes add --namespace ns.acct"+
		" --search-attribute SessionPhase=Keyword --search-attribute OrgId=Keyword --search-attribute ErrorReason=Keyword",
		registrationCommand(client.Options{HostPort: "ns.acct.tmprl.cloud:7233", Namespace: "ns.acct"}))
}
