package service

import (
	"context"
	"errors"
	"fmt"
	"strings"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.uber.org/zap"

	"sessionkeeper/conversation"
)

// checkSearchAttributes returns an error if the namespace lacks search attributes.
// Without them no conversation can start. The error has the command that registers
// them.
func checkSearchAttributes(
	ctx context.Context, operator operatorservice.OperatorServiceClient, namespace string, logger *zap.Logger,
) error {
	err := findSearchAttributes(ctx, operator, namespace)
	if isForbidden(err) {
		logger.Warn("Search attributes not checked: the server does not allow to list them", zap.Error(err))
		return nil
	}
	return err
}

// findSearchAttributes is checkSearchAttributes with the error of a server that does not
// allow to list them.
func findSearchAttributes(ctx context.Context, operator operatorservice.OperatorServiceClient, namespace string) error {
	request := &operatorservice.ListSearchAttributesRequest{Namespace: namespace}
	registered, err := operator.ListSearchAttributes(ctx, request)
	if notFound, ok := errors.AsType[*serviceerror.NamespaceNotFound](err); ok {
		return fmt.Errorf("namespace %q does not exist, or Temporal cannot reach its database; "+
			"create a namespace with: temporal operator namespace create --namespace %s: %w", namespace, namespace, notFound)
	}
	if err != nil {
		return fmt.Errorf("list search attributes of namespace %q: %w", namespace, err)
	}
	var missing, wrongType []string
	for _, name := range conversation.SearchAttributes() {
		valueType, ok := registered.GetCustomAttributes()[name]
		switch {
		case !ok:
			missing = append(missing, name)
		case valueType != enumspb.INDEXED_VALUE_TYPE_KEYWORD:
			wrongType = append(wrongType, fmt.Sprintf("%s is %s", name, valueType))
		}
	}
	switch {
	case len(wrongType) > 0:
		return fmt.Errorf("namespace %q has search attributes of the wrong type, want Keyword: %s",
			namespace, strings.Join(wrongType, ", "))
	case len(missing) > 0:
		return fmt.Errorf("namespace %q lacks search attributes %s; "+
			"register them with: temporal operator search-attribute create --namespace %s --name %s --type Keyword",
			namespace, strings.Join(missing, ", "), namespace, strings.Join(missing, " --type Keyword --name "))
	}
	return nil
}

// isForbidden reports whether the server does not allow the request or does not
// have it.
func isForbidden(err error) bool {
	_, denied := errors.AsType[*serviceerror.PermissionDenied](err)
	_, unimplemented := errors.AsType[*serviceerror.Unimplemented](err)
	return denied || unimplemented
}
