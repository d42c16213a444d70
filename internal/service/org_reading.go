package service

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"

	"sessionkeeper/internal/gate"
	"sessionkeeper/internal/interaction"
)

// reading is one org as the configuration and the file of its secret have it now.
type reading struct {
	settings Org
	secret   string
	// problem says why the org cannot be called with these settings.
	problem error
	// whole is the fingerprint of all of it.
	whole string
	// forClient is the fingerprint of what the API client is made of, and login that of who
	// logs in, and where.
	forClient, login string
}

// newReading reads the secret of an org.
func newReading(settings Org) reading {
	r := reading{settings: settings, problem: settings.problem}
	secret, err := settings.readSecret()
	if r.secret = secret; r.problem == nil {
		r.problem = err
	}
	login := []any{settings.APIBaseURL, settings.JWTBearer, settings.ClientCredentials, secret}
	r.login = fingerprintOf(login...)
	r.forClient = fingerprintOf(append(login, settings.CallTimeout, settings.TokenLifetime, settings.PlainHTTP)...)
	r.whole = fingerprintOf(settings, settings.source, secret, fmt.Sprint(r.problem))
	return r
}

// client returns the API client of the org. It sends no requests. A transport of nil is the
// usual one.
func (r reading) client(version string, transport http.RoundTripper) (*interaction.Client, error) {
	if r.problem != nil {
		return nil, r.problem
	}
	return r.settings.client(version, r.secret, transport)
}

// limits returns the settings of the org's gate.
func (r reading) limits() gate.Settings {
	s := gate.Settings{InFlight: r.settings.CallsInFlight, PerSecond: r.settings.CallsPerSecond}
	if r.settings.Paused {
		s.Paused = r.settings.PauseReason
	}
	return s
}

// fingerprintOf returns a hash of values that JSON can encode.
func fingerprintOf(values ...any) string {
	hash := sha256.New()
	for _, value := range values {
		text, err := json.Marshal(value)
		_, _ = fmt.Fprintf(hash, "%d %s %v\n", len(text), text, err)
	}
	return hex.EncodeToString(hash.Sum(nil)[:16])
}
