// Package codecserver decrypts and encrypts payloads for those who may: for Temporal's
// Web UI, its command line, and clients in other languages. It speaks Temporal's remote
// codec protocol.
package codecserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"go.temporal.io/sdk/converter"
	"golang.org/x/time/rate"

	"sessionkeeper/internal/access"
	"sessionkeeper/internal/seal"
	"sessionkeeper/internal/telemetry"
)

// Options are the settings of [Run].
type Options struct {
	Listener access.Listener
	// Tokens are the accepted bearer tokens. A token must be for all orgs, because a
	// payload does not say of which org it is.
	Tokens *access.Tokens
	// Origins are the origins of Web UIs that may use the server, such as
	// "https://temporal.example.com". Default: none.
	Origins []string
	Keys    *seal.Keys
	Logger  *slog.Logger
	// Started, if set, is called with the address when requests are accepted.
	Started func(address string)
}

const (
	// maxBody is the largest request, in bytes. The Web UI sends a page of a history.
	maxBody       = 8 << 20
	headerTimeout = 5 * time.Second
	timeout       = 30 * time.Second
	idleTimeout   = 2 * time.Minute
	drainTimeout  = 5 * time.Second
	maxHeader     = 32 << 10
	// maxRequests is how many requests are answered at once. Each may need a few times
	// maxBody of memory.
	maxRequests = 8
	waitTimeout = 10 * time.Second
)

// Run serves until ctx ends.
func Run(ctx context.Context, o Options) error {
	listener, err := o.Listener.Listen(ctx, o.Tokens != nil, o.Logger)
	if err != nil {
		return fmt.Errorf("listen for payloads: %w", err)
	}
	o.Tokens.WarnOfExposure(o.Logger)
	o.Keys.Watch(ctx, o.Logger)
	o.Tokens.Watch(ctx, o.Logger, func() {})
	server := &http.Server{
		Handler: telemetry.SafeHeaders(o.handler()), ReadHeaderTimeout: headerTimeout, ReadTimeout: timeout,
		WriteTimeout: timeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelWarn),
	}
	stopped := make(chan error, 1)
	go func() { stopped <- server.Serve(listener) }()
	o.Logger.Info("Serving", "listen", listener.Addr().String())
	if o.Started != nil {
		o.Started(listener.Addr().String())
	}
	select {
	case err = <-stopped:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if err := server.Shutdown(drain); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("stop: %w", err)
	}
	return nil
}

// handler serves POST /encode and POST /decode, and for browsers OPTIONS of both, and /.
func (o Options) handler() http.Handler {
	codec := converter.NewPayloadCodecHTTPHandler(seal.NewCodec(o.Keys))
	limited := limit(http.MaxBytesHandler(codec, maxBody))
	mux := http.NewServeMux()
	for _, path := range []string{"/encode", "/decode"} {
		mux.Handle("OPTIONS "+path, o.allowOrigin(http.HandlerFunc(preflight)))
		mux.Handle("POST "+path, o.allowOrigin(o.requireToken(limited)))
	}
	mux.Handle("GET /{$}", o.requireToken(http.HandlerFunc(signedIn)))
	return mux
}

// limit lets a request wait while too many are answered, and answers 503 after some time.
func limit(next http.Handler) http.Handler {
	slots := make(chan struct{}, maxRequests)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
			next.ServeHTTP(w, r)
		case <-r.Context().Done():
		case <-time.After(waitTimeout):
			w.Header().Set("Retry-After", "1")
			http.Error(w, "too many requests at once", http.StatusServiceUnavailable)
		}
	})
}

// signedIn answers a browser, which then knows the credential for the Web UI's requests.
func signedIn(w http.ResponseWriter, _ *http.Request) {
	_, _ = fmt.Fprintln(w, "The codec server accepts this token. Reload the Web UI.")
}

// allowOrigin lets scripts of the allowed origins read the answers.
func (o Options) allowOrigin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "Origin")
		w.Header().Set("Cache-Control", "no-store")
		if origin := r.Header.Get("Origin"); slices.Contains(o.Origins, origin) {
			w.Header().Set("Access-Control-Allow-Origin", origin)
			w.Header().Set("Access-Control-Allow-Credentials", "true")
		}
		next.ServeHTTP(w, r)
	})
}

// preflight answers a browser's question what a script may send. It needs no token,
// because a browser sends none with it.
func preflight(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Access-Control-Allow-Methods", "POST")
	w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type, X-Namespace")
	w.Header().Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
}

// requireToken answers requests of tokens for all orgs only, and logs who asks. Also a
// browser's Basic authentication is accepted, with the token as the password: the Web UI
// sends it if it includes credentials.
func (o Options) requireToken(next http.Handler) http.Handler {
	warning := rate.Sometimes{Interval: time.Minute}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := r.Header.Clone()
		if _, password, ok := r.BasicAuth(); ok {
			header.Set("Authorization", "Bearer "+password)
		}
		token, err := o.Tokens.Find(header)
		switch {
		case err != nil:
			w.Header().Set("Retry-After", "5")
			http.Error(w, "the server cannot read its tokens", http.StatusServiceUnavailable)
		case token == nil:
			warning.Do(func() {
				o.Logger.Warn("A request has no accepted token; this is said once a minute", "remote", r.RemoteAddr)
			})
			w.Header().Add("WWW-Authenticate", `Bearer realm="sessionkeeper codec"`)
			if r.URL.Path == "/" { // elsewhere it would open a dialog over the Web UI
				w.Header().Add("WWW-Authenticate", `Basic realm="sessionkeeper codec", charset="UTF-8"`)
			}
			http.Error(w, "want a bearer token", http.StatusUnauthorized)
		case !slices.Contains(token.Orgs, access.AllOrgs):
			o.Logger.Warn("A token that is not for all orgs may read no payloads", "token", token.Name)
			http.Error(w, "want a token for all orgs", http.StatusForbidden)
		default:
			o.Logger.Info("Payloads", "request", r.URL.Path, "token", token.Name, "namespace", namespaceOf(r))
			next.ServeHTTP(w, r)
		}
	})
}

// namespaceOf is the namespace that the Web UI names, for the log.
func namespaceOf(r *http.Request) string {
	name := r.Header.Get("X-Namespace")
	return name[:min(len(name), 100)]
}
