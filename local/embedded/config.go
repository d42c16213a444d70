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

// clusterName is written into a new database. A server on an existing database
// must use the same name.
const clusterName = "active"

// serverConfig returns the configuration of a single-node cluster whose four
// services talk over loopback.
func serverConfig(p ports, db database) *config.Config {
	return &config.Config{
		Global: config.Global{
			Membership: config.Membership{MaxJoinDuration: 10 * time.Second, BroadcastAddress: loopback},
			Metrics: &metrics.Config{
				// Without this, a counter would be called action_total, where
				// Temporal's documentation says action.
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

// unthrottled is a rate that a single machine does not reach. The server's usual
// quotas would slow tests and benchmarks down.
const unthrottled = 1_000_000

// dynamicConfig returns the settings that differ from the server's defaults; those
// of extra come last and win.
func dynamicConfig(extra map[string]any) dynamicconfig.StaticClient {
	settings := map[string]any{
		// Makes no requests to the internet.
		"frontend.enableServerVersionCheck": false,

		// Search attributes can be used as soon as they are registered.
		"system.forceSearchAttributesCacheRefreshOnRead": true,

		"frontend.WorkflowTimeSkippingEnabled": true,
		"matching.enableFairness":              true,

		// One partition: with one node, more partitions only delay the moment when
		// a task meets a poller.
		"matching.numTaskqueueReadPartitions":  1,
		"matching.numTaskqueueWritePartitions": 1,

		// By default a shard looks for new tasks at most 20 times a second. That is
		// enough with hundreds of shards; with a few it delays each step by 50 ms.
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

		// These have workers that the server does not stop: the clean-up of task
		// queues, histories and build ids, and the parent close policy.
		"worker.taskQueueScannerEnabled":       false,
		"worker.historyScannerEnabled":         false,
		"worker.buildIdScavengerEnabled":       false,
		"system.enableParentClosePolicyWorker": false,

		// No load balancer has to notice that the server stops.
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

// startTemporal creates and starts the server's services.
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
