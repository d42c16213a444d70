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

// checkSearchAttributes reports the search attributes that the namespace lacks,
// with the command that registers them: without them no conversation can start.
func checkSearchAttributes(ctx context.Context, operator operatorservice.OperatorServiceClient, namespace string, logger *zap.Logger) error {
	registered, err := operator.ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if forbidden(err) {
		logger.Warn("Search attributes not checked: the server does not let us list them", zap.Error(err))
		return nil
	}
	if absent, ok := errors.AsType[*serviceerror.NamespaceNotFound](err); ok {
		return fmt.Errorf("namespace %q does not exist; create it with: temporal operator namespace create --namespace %s: %w",
			namespace, namespace, absent)
	}
	if err != nil {
		return fmt.Errorf("list search attributes of namespace %q: %w", namespace, err)
	}
	var missing, mistyped []string
	for _, name := range conversation.SearchAttributes() {
		kind, ok := registered.GetCustomAttributes()[name]
		switch {
		case !ok:
			missing = append(missing, name)
		case kind != enumspb.INDEXED_VALUE_TYPE_KEYWORD:
			mistyped = append(mistyped, fmt.Sprintf("%s is %s", name, kind))
		}
	}
	if len(mistyped) > 0 {
		return fmt.Errorf("namespace %q has search attributes of the wrong type, want Keyword: %s", namespace, strings.Join(mistyped, ", "))
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("namespace %q lacks search attributes %s; register them with: temporal operator search-attribute create --namespace %s --name %s --type Keyword",
		namespace, strings.Join(missing, ", "), namespace, strings.Join(missing, " --type Keyword --name "))
}

func forbidden(err error) bool {
	var denied *serviceerror.PermissionDenied
	var unimplemented *serviceerror.Unimplemented
	return errors.As(err, &denied) || errors.As(err, &unimplemented)
}
