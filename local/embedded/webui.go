package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"github.com/temporalio/ui-server/v2/server/api"
	"github.com/temporalio/ui-server/v2/server/config"
	"github.com/temporalio/ui-server/v2/server/cors"
	"github.com/temporalio/ui-server/v2/server/csrf"
	"github.com/temporalio/ui-server/v2/server/headers"
	"github.com/temporalio/ui-server/v2/server/route"
	"github.com/temporalio/ui-server/v2/ui"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
)

// webUI serves Temporal's Web UI. It registers the ui-server module's routes
// itself, because that module's own Server cannot take a listener, ends the
// process when its port is taken, and keeps connecting to the frontend after its
// Stop.
type webUI struct {
	http     *http.Server
	frontend *grpc.ClientConn
	done     chan struct{}
}

func startWebUI(l net.Listener, frontend string, o Options) (*webUI, error) {
	provider, err := config.NewConfigProviderWithRefresh(&config.Config{
		TemporalGRPCAddress: frontend,
		EnableUI:            true,
		DefaultNamespace:    o.Namespace,
		DisableNewsFetch:    true,
		NotifyOnNewVersion:  false,
		HideLogs:            true,
		CORS:                config.CORS{CookieInsecure: true}, // plain http
		Codec:               config.Codec{Endpoint: o.UICodecEndpoint, IncludeCredentials: true},
	})
	if err != nil {
		return nil, fail("configure the Web UI", err)
	}
	conn, err := api.CreateGRPCConnection(provider)
	if err != nil {
		return nil, fail("connect the Web UI to "+frontend, err)
	}
	handler, err := webUIHandler(provider, conn)
	if err != nil {
		return nil, fail("set up the Web UI", errors.Join(err, conn.Close()))
	}

	w := &webUI{
		http:     &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second},
		frontend: conn,
		done:     make(chan struct{}),
	}
	go func() {
		defer close(w.done)
		if err := w.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			o.Logger.Error("serve the Temporal Web UI", "error", err)
		}
	}()
	return w, nil
}

func webUIHandler(provider *config.ConfigProviderWithRefresh, conn *grpc.ClientConn) (http.Handler, error) {
	assets, err := localAssets()
	if err != nil {
		return nil, err
	}
	e := echo.New()
	const cookieSecure = false
	e.Use(
		middleware.Recover(),
		middleware.Gzip(),
		cors.CORSMiddleware(cors.CORSConfig{ConfigProvider: provider}),
		middleware.Secure(),
		csrf.EnsureTokenCookie(cookieSecure),
		middleware.CSRFWithConfig(csrf.MiddlewareConfig(provider, cookieSecure)),
	)
	route.SetHealthRoute(e)
	setAPIRoutes(e.Group("/api/v1"), provider, conn)
	if err := route.SetUIRoutes(e, "", assets, provider); err != nil {
		return nil, err
	}
	route.SetRenderRoute(e, "/")
	return e, nil
}

// setAPIRoutes does what route.SetAPIRoutes does, on a connection that stop can
// close.
func setAPIRoutes(g *echo.Group, provider *config.ConfigProviderWithRefresh, conn *grpc.ClientConn) {
	callerType := []api.Middleware{headers.WithForwardHeaders([]string{"Caller-Type"})}

	g.GET("/settings", api.GetSettings(provider))
	g.GET("/releases", api.GetLatestReleases(provider, api.NewReleaseChecker()))
	g.GET("/ui-extensions", api.GetUIExtensions(provider, api.TemporalAccessCheck(conn, callerType)))
	g.GET(api.WorkflowRawHistoryUrl, api.WorkflowRawHistoryHandler(workflowservice.NewWorkflowServiceClient(conn)))
	g.Match(
		[]string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete},
		"/*",
		api.TemporalAPIHandler(provider, callerType, conn),
	)
}

func localAssets() (fs.FS, error) {
	assets, err := ui.Assets()
	if err != nil {
		return nil, fmt.Errorf("open the Web UI's assets: %w", err)
	}
	return fs.Sub(assets, "local")
}

// stop ends open requests at once, also the UI's long polls.
func (w *webUI) stop() {
	_ = w.http.Close()
	<-w.done
	_ = w.frontend.Close()
}
