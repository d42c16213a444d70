package serve

import (
	_ "embed"
	"fmt"
	"net/http"

	"go.yaml.in/yaml/v3"
)

//go:embed openapi.yaml
var openAPI []byte

func tellOpenAPI(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(openAPI)
	return nil
}

func tellOpenAPIAsJSON(w http.ResponseWriter, _ *http.Request) error {
	var description map[string]any
	if err := yaml.Unmarshal(openAPI, &description); err != nil {
		return fmt.Errorf("read openapi.yaml: %w", err)
	}
	write(w, http.StatusOK, "application/json", description)
	return nil
}
