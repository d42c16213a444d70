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

func tellOpenAPI(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(openAPI)
	return nil
}

func tellOpenAPIAsJSON() failing {
	description := sync.OnceValues(func() (text map[string]any, err error) {
		if err := yaml.Unmarshal(openAPI, &text); err != nil {
			return nil, fmt.Errorf("read openapi.yaml: %w", err)
		}
		return text, nil
	})
	return func(w http.ResponseWriter, _ *http.Request) error {
		text, err := description()
		if err != nil {
			return err
		}
		write(w, http.StatusOK, "application/json", text)
		return nil
	}
}
