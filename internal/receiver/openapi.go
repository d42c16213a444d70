package receiver

import (
	_ "embed"
	"fmt"
	"net/http"
	"sync"

	"go.yaml.in/yaml/v3"
)

//go:embed openapi.yaml
var openAPI []byte

func getOpenAPI(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(openAPI)
	return nil
}

func getOpenAPIAsJSON() handler {
	parse := sync.OnceValues(func() (description map[string]any, err error) {
		if err := yaml.Unmarshal(openAPI, &description); err != nil {
			return nil, fmt.Errorf("parse openapi.yaml: %w", err)
		}
		return description, nil
	})
	return func(w http.ResponseWriter, _ *http.Request) error {
		description, err := parse()
		if err != nil {
			return err
		}
		writeJSON(w, http.StatusOK, "application/json", description)
		return nil
	}
}
