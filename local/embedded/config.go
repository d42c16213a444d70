package embedded

import (
	"maps"
	"time"

	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/membership/static"
	"go.temporal.io/server/common/metrics"
	"go.temporal.io/server/common/primitives"
	"go.temporal.io/server/temporal"
)

// clusterName is written into a database when it is made; a server must come
// back with the same.
const clusterName = "active"

// serverConfig is a single-node cluster whose four services talk over
// loopback.
func serverConfig(p ports, db database) *config.Config {
	return &config.Config{
		Global: config.Global{
			Membership: config.Membership{MaxJoinDuration: 10 * time.Second, BroadcastAddress: loopback},
			Metrics: &metrics.Config{
				// Without this, counters would be called action_total and not
				// action as in Temporal's documentation.
				ClientConfig: metrics.ClientConfig{WithoutCounterSuffix: true},
				Prometheus: &metrics.PrometheusConfig{
					Framework:     metrics.FrameworkOpentelemetry,
					ListenAddress: address(p.metrics),
				},
			},
		},
		Persistence: db.persistence(),
		ClusterMetadata: &cluster.Config{
			FailoverVersionIncrement: 10,
			MasterClusterName:        clusterName,
			CurrentClusterName:       clusterName,
			ClusterInformation: map[string]cluster.ClusterInformation{
				clusterName: {Enabled: true, InitialFailoverVersion: 1, RPCAddress: address(p.frontend)},
			},
		},
		DCRedirectionPolicy: config.DCRedirectionPolicy{Policy: "noop"},
		Services: map[string]config.Service{
			string(primitives.FrontendService): service(p.frontend),
			string(primitives.HistoryService):  service(p.history),
			string(primitives.MatchingService): service(p.matching),
			string(primitives.WorkerService):   service(p.worker),
		},
		Archival: config.Archival{
			History:    config.HistoryArchival{State: config.ArchivalDisabled},
			Visibility: config.VisibilityArchival{State: config.ArchivalDisabled},
		},
		NamespaceDefaults: config.NamespaceDefaults{
			Archival: config.ArchivalNamespaceDefaults{
				History:    config.HistoryArchivalNamespaceDefaults{State: config.ArchivalDisabled},
				Visibility: config.VisibilityArchivalNamespaceDefaults{State: config.ArchivalDisabled},
			},
		},
		PublicClient: config.PublicClient{HostPort: address(p.frontend)},
	}
}

func service(port int) config.Service {
	return config.Service{RPC: config.RPC{GRPCPort: port, BindOnIP: loopback}}
}

// unthrottled is a rate that a single machine does not reach: a demonstration
// shows the product, not a quota.
const unthrottled = 1_000_000

// dynamicConfig is what differs from the server's defaults, then extra.
func dynamicConfig(extra map[string]any) dynamicconfig.StaticClient {
	settings := map[string]any{
		// Nothing here calls the outside.
		"frontend.enableServerVersionCheck": false,

		// Search attributes count as soon as they are registered.
		"system.forceSearchAttributesCacheRefreshOnRead": true,

		"frontend.WorkflowTimeSkippingEnabled": true,
		"matching.enableFairness":              true,

		// One partition: with one node more would only be places for a task
		// and its poller to miss each other.
		"matching.numTaskqueueReadPartitions":  1,
		"matching.numTaskqueueWritePartitions": 1,

		// By default a shard looks for new tasks 20 times a second at most, which
		// is plenty for hundreds of shards and 50 ms a step for a few.
		"history.transferProcessorMaxPollRPS":   unthrottled,
		"history.timerProcessorMaxPollRPS":      unthrottled,
		"history.visibilityProcessorMaxPollRPS": unthrottled,

		"frontend.rps":                     unthrottled,
		"frontend.namespaceRPS":            unthrottled,
		"frontend.namespaceRPS.visibility": unthrottled,
		"frontend.namespaceCount":          unthrottled,
		"frontend.persistenceMaxQPS":       unthrottled,
		"history.rps":                      unthrottled,
		"history.persistenceMaxQPS":        unthrottled,
		"matching.rps":                     unthrottled,
		"matching.persistenceMaxQPS":       unthrottled,

		// The server does not stop the workers of these (clean-up of task
		// queues, histories and build ids; fan-out to many children).
		"worker.taskQueueScannerEnabled":       false,
		"worker.historyScannerEnabled":         false,
		"worker.buildIdScavengerEnabled":       false,
		"system.enableParentClosePolicyWorker": false,

		// Nothing is behind a load balancer that would have to notice.
		"frontend.shutdownDrainDuration":           time.Duration(0),
		"frontend.shutdownFailHealthCheckDuration": time.Duration(0),
		"history.shutdownDrainDuration":            time.Duration(0),
		"matching.shutdownDrainDuration":           time.Duration(0),
	}
	maps.Copy(settings, extra)

	client := make(dynamicconfig.StaticClient, len(settings))
	for name, value := range settings {
		client[dynamicconfig.MakeKey(name)] = value
	}
	return client
}

// startTemporal builds and starts the server's services.
func (s *Server) startTemporal(cfg *config.Config, dynamic dynamicconfig.Client) (err error) {
	defer s.log.recoverFatal(&err)

	hosts := make(map[primitives.ServiceName]static.Hosts, len(cfg.Services))
	for name, svc := range cfg.Services {
		hosts[primitives.ServiceName(name)] = static.SingleLocalHost(address(svc.RPC.GRPCPort))
	}
	server, err := temporal.NewServer(
		temporal.WithConfig(cfg),
		temporal.ForServices(temporal.DefaultServices),
		temporal.WithStaticHosts(hosts),
		temporal.WithDynamicConfigClient(dynamic),
		temporal.WithLogger(s.log),
		temporal.WithAuthorizer(authorization.NewNoopAuthorizer()),
		temporal.WithClaimMapper(func(*config.Config) authorization.ClaimMapper {
			return authorization.NewNoopClaimMapper()
		}),
	)
	if err != nil {
		return fail("set up the server", err)
	}
	s.temporal = server
	if err := server.Start(); err != nil {
		return fail("start the server", err)
	}
	return nil
}
