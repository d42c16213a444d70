package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"sessionkeeper/conversation"
)

// registrationTimeout is how long a server may take until it uses a new search
// attribute: its parts read the namespace's settings every few seconds.
const registrationTimeout = time.Minute

// registerSearchAttributes registers those search attributes that the namespace
// lacks, and waits until they can be used. Where the server refuses, the error
// has the command that registers them.
func registerSearchAttributes(ctx context.Context, temporal client.Client, options client.Options) error {
	missing, err := searchAttributesMissing(ctx, temporal, options.Namespace)
	if err != nil || !missing {
		return err
	}
	for _, name := range conversation.SearchAttributes() {
		_, err := temporal.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
			Namespace:        options.Namespace,
			SearchAttributes: map[string]enumspb.IndexedValueType{name: enumspb.INDEXED_VALUE_TYPE_KEYWORD},
		})
		if _, exists := errors.AsType[*serviceerror.AlreadyExists](err); err != nil && !exists {
			return fmt.Errorf("register search attribute %s: %w\nRegister the search attributes with:\n  %s",
				name, err, registrationCommand(options))
		}
	}
	wait := backoff.WithBackOff(backoff.NewConstantBackOff(200 * time.Millisecond))
	_, err = backoff.Retry(ctx, func() (struct{}, error) {
		missing, err := searchAttributesMissing(ctx, temporal, options.Namespace)
		if err == nil && missing {
			err = fmt.Errorf("namespace %q does not show the registered search attributes yet", options.Namespace)
		}
		return struct{}{}, err
	}, wait, backoff.WithMaxElapsedTime(registrationTimeout))
	return err
}

// searchAttributesMissing asks by a query, because a namespace may allow queries
// but not the listing of search attributes.
func searchAttributesMissing(ctx context.Context, temporal client.Client, namespace string) (bool, error) {
	var conditions []string
	for _, name := range conversation.SearchAttributes() {
		conditions = append(conditions, name+" = 'none'")
	}
	_, err := temporal.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{
		Namespace: namespace, Query: strings.Join(conditions, " AND "),
	})
	if _, invalid := errors.AsType[*serviceerror.InvalidArgument](err); invalid {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for the search attributes of namespace %q: %w", namespace, err)
	}
	return false, nil
}

// registrationCommand returns the command that registers the search attributes.
func registrationCommand(options client.Options) string {
	names := conversation.SearchAttributes()
	if isCloud(options.HostPort) {
		return "tcld namespace search-attributes add --namespace " + options.Namespace +
			" --search-attribute " + strings.Join(names, "=Keyword --search-attribute ") + "=Keyword"
	}
	return "temporal operator search-attribute create" +
		" --address " + options.HostPort + " --namespace " + options.Namespace +
		" --name " + strings.Join(names, " --type Keyword --name ") + " --type Keyword"
}
