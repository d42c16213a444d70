package bench_test

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/inprocess"
	"sessionkeeper/internal/service"
	"sessionkeeper/local/stack"
	"sessionkeeper/sandbox/simulator"
	"sessionkeeper/sender"
)

// orgRig is a stack with several orgs in one sandbox, and workers.
type orgRig struct {
	*stack.Stack
	sender *sender.Sender
	logs   *observer.ObservedLogs
	logger *zap.Logger
}

func newOrgRig(b *testing.B, orgs, workers int, behaviour func(*simulator.Config), wrap func(http.Handler) http.Handler) orgRig {
	b.Helper()
	return newOrgRigOn(b, "", orgs, workers, behaviour, wrap)
}

// newOrgRigOn has a database file, or none if it is empty.
func newOrgRigOn(
	b *testing.B, database string, orgs, workers int, behaviour func(*simulator.Config), wrap func(http.Handler) http.Handler,
) orgRig {
	b.Helper()
	core, logs := observer.New(zap.InfoLevel)
	s, err := stack.Start(b.Context(), stack.Options{
		DBFile: database, NoWorker: true, Logger: zap.New(core), Wrap: wrap, Behaviour: func(c *simulator.Config) {
			for n := 1; n < orgs; n++ {
				org := c.Orgs[0]
				org.OrgID, org.ConsumerKey = orgID(n), fmt.Sprint("key-", n)
				c.Orgs = append(c.Orgs, org)
			}
			behaviour(c)
		},
	})
	require.NoError(b, err)
	b.Cleanup(s.Stop)
	for n := 1; n < orgs; n++ {
		org := s.Config.Orgs[0]
		login := *org.JWTBearer
		login.ConsumerKey = fmt.Sprint("key-", n)
		org.OrgID, org.JWTBearer = orgID(n), &login
		s.Config.Orgs = append(s.Config.Orgs, org)
	}
	for range workers {
		_, stop, err := s.StartWorker(b.Context(), 0)
		require.NoError(b, err)
		b.Cleanup(stop)
	}
	return orgRig{s, sender.New(s.Temporal, sender.Options{Window: new(conversation.Duration(0))}), logs, zap.New(core)}
}

// orgID is the id of an org; 0 is the demo org.
func orgID(n int) string {
	if n == 0 {
		return simulator.DemoOrgID
	}
	return fmt.Sprintf("00D00000000%04d", 1000+n)
}

var orgCounter atomic.Int64

// starts returns the starts of new conversations of an org, with their sessions.
func (r orgRig) starts(b *testing.B, org, conversations int) []conversation.Start {
	b.Helper()
	var all []conversation.Start
	for range conversations {
		session, err := r.Sandbox.CreateSession(orgID(org), simulator.Session{
			ConversationIdentifier:   fmt.Sprint("conv-", orgCounter.Add(1)),
			ChannelAddressIdentifier: simulator.DemoChannelAddress, EndUserClientID: "user", Status: simulator.StatusActive,
		})
		require.NoError(b, err)
		all = append(all, conversation.Start{Identity: conversation.Identity{
			OrgID: orgID(org), AuthorizationContext: simulator.DemoAuthorizationContext, EndUserClientID: "user",
			ChannelAddressIdentifier: simulator.DemoChannelAddress, ConversationIdentifier: session.ConversationIdentifier,
			SessionID: session.ID,
		}})
	}
	return all
}

func (r orgRig) hangUp(ctx context.Context, s conversation.Start) (sender.Receipt, error) {
	return r.sender.CloseConversation(ctx, s.Identity, conversation.Close{By: conversation.EndUser})
}

// BenchmarkHerd closes many chats of three orgs at once, whose limits are low. It measures
// how long each org takes, and how many requests are refused.
func BenchmarkHerd(b *testing.B) {
	for _, c := range []struct {
		name       string
		orgs       []int
		perSecond  int
		retryAfter time.Duration
		workers    int
	}{
		{"600/unlimited", []int{480, 90, 30}, 2000, 0, 1},
		{"600/at 5 a second", []int{480, 90, 30}, 5, 0, 1},
		{"600/at 5 a second, Retry-After", []int{480, 90, 30}, 5, time.Second, 1},
		{"600/at 5 a second, two workers", []int{480, 90, 30}, 5, 0, 2},
		{"600/at 5 a second, Retry-After, two workers", []int{480, 90, 30}, 5, time.Second, 2},
		{"3000/unlimited", []int{2400, 450, 150}, 2000, 0, 1},
		{"3000/at 20 a second", []int{2400, 450, 150}, 20, 0, 1},
		{"3000/at 20 a second, Retry-After, two workers", []int{2400, 450, 150}, 20, time.Second, 2},
	} {
		b.Run(c.name, func(b *testing.B) {
			r := newOrgRig(b, len(c.orgs), c.workers, func(config *simulator.Config) {
				config.MaxRequestsPerSecond = c.perSecond
				config.Behaviour.Answers = map[simulator.Cause]simulator.Answer{simulator.RateLimited: {
					Status: 429, Message: "Interaction request rate limit exceeded", RetryAfter: simulator.Duration(c.retryAfter),
				}}
			}, nil)
			var all []conversation.Start
			for org, n := range c.orgs {
				all = append(all, r.starts(b, org, n)...)
			}
			for b.Loop() {
				forEach(b, all, r.sender.Start)
				began := time.Now()
				forEach(b, all, r.hangUp)
				for _, s := range all {
					require.NoError(b, r.Temporal.GetWorkflow(b.Context(), s.WorkflowID(), "").Get(b.Context(), nil))
				}
				r.report(b, c.orgs, began)
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// report reports the time until the last End of each org, and the share of the requests
// that were refused.
func (r orgRig) report(b *testing.B, orgs []int, began time.Time) {
	b.Helper()
	ended, refused := 0, 0
	last := map[string]time.Time{}
	for _, e := range r.Sandbox.Journal() {
		switch {
		case e.Status == http.StatusTooManyRequests:
			refused++
		case e.Success && e.Operation != "":
			ended++
			last[e.OrgID] = e.ReceivedAt
		}
	}
	for org, n := range orgs {
		b.ReportMetric(last[orgID(org)].Sub(began).Seconds(), fmt.Sprintf("s-for-%d", n))
	}
	b.ReportMetric(100*float64(refused)/float64(ended+refused), "%-refused")
	b.ReportMetric(float64(r.logs.Len()), "log-lines")
}

// BenchmarkSlots closes 600 chats of ten orgs at once, whose calls take a quarter of a
// second. It measures how long that takes with few and many slots for calls.
func BenchmarkSlots(b *testing.B) {
	const orgs, chats = 10, 60
	for _, slots := range []int{10, 50, 200, 1000} {
		b.Run(fmt.Sprint(slots), func(b *testing.B) {
			r := newOrgRig(b, orgs, 0, func(*simulator.Config) {}, func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
					if req.Header.Get("Orgid") != "" {
						<-time.After(250 * time.Millisecond)
					}
					next.ServeHTTP(w, req)
				})
			})
			r.Config.CallSlots = slots
			for n := range r.Config.Orgs {
				r.Config.Orgs[n].CallsInFlight, r.Config.Orgs[n].CallsPerSecond = 100, 2000
			}
			_, stop, err := r.StartWorker(b.Context(), 0)
			require.NoError(b, err)
			b.Cleanup(stop)
			var all []conversation.Start
			for org := range orgs {
				all = append(all, r.starts(b, org, chats)...)
			}
			for b.Loop() {
				forEach(b, all, r.sender.Start)
				began := time.Now()
				forEach(b, all, r.hangUp)
				for _, s := range all {
					require.NoError(b, r.Temporal.GetWorkflow(b.Context(), s.WorkflowID(), "").Get(b.Context(), nil))
				}
				b.ReportMetric(time.Since(began).Seconds(), "s-until-all-ended")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkHangingOrg measures how long calls of two orgs wait while a third one hangs ten
// seconds with each call and has thousands of closes waiting.
func BenchmarkHangingOrg(b *testing.B) {
	var hangs atomic.Bool
	var inFlight, most atomic.Int64
	sick := orgID(2)
	r := newOrgRig(b, 3, 1, func(*simulator.Config) {}, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if hangs.Load() && req.Header.Get("Orgid") == sick {
				most.Store(max(most.Load(), inFlight.Add(1)))
				defer inFlight.Add(-1)
				select {
				case <-time.After(10 * time.Second):
				case <-req.Context().Done():
				}
			}
			next.ServeHTTP(w, req)
		})
	})
	var quiet, beside []time.Duration
	for b.Loop() {
		quiet = append(quiet, r.closeSteadily(b, 2, 600)...)
		hangs.Store(true)
		ill := r.starts(b, 2, 3000)
		forEach(b, ill, r.sender.Start)
		forEach(b, ill, r.hangUp)
		beside = append(beside, r.closeSteadily(b, 2, 600)...)
	}
	for name, all := range map[string][]time.Duration{"quiet": quiet, "beside": beside} {
		b.ReportMetric(percentile(all, 0.5).Seconds()*1000, name+"-p50-ms")
		b.ReportMetric(percentile(all, 0.99).Seconds()*1000, name+"-p99-ms")
	}
	b.ReportMetric(float64(most.Load()), "calls-of-the-sick-org")
	b.ReportMetric(0, "ns/op")
}

// orgFiles are the settings of a rig's orgs as files that its worker follows.
type orgFiles struct {
	orgRig
	config string
}

// files writes the first orgs as files, and other settings.
func (r orgRig) files(b *testing.B, orgs int, settings string) orgFiles {
	b.Helper()
	f := orgFiles{r, filepath.Join(b.TempDir(), "worker.yaml")}
	require.NoError(b, os.Mkdir(filepath.Join(filepath.Dir(f.config), "orgs.d"), 0o700))
	require.NoError(b, os.WriteFile(f.config, []byte("orgFolder: orgs.d\n"+settings), 0o600))
	for n := range orgs {
		f.write(b, n, "")
	}
	return f
}

// followFiles starts a worker that follows files, with all orgs but the last one.
func (r orgRig) followFiles(b *testing.B) orgFiles {
	b.Helper()
	f := r.files(b, len(r.Config.Orgs)-1, "")
	config, err := service.LoadConfig(f.config)
	require.NoError(b, err)
	_, stop, err := inprocess.StartWorker(b.Context(), 0, service.Options{
		Config: config, ConfigFile: f.config, Temporal: r.Connection(), Logger: r.logger, Version: "bench",
	})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, stop()) })
	return f
}

func (f orgFiles) file(n int) string {
	return filepath.Join(filepath.Dir(f.config), "orgs.d", fmt.Sprint(n, ".yaml"))
}

func (f orgFiles) write(b *testing.B, n int, more string) {
	b.Helper()
	org := f.Config.Orgs[n]
	text := fmt.Sprintf("orgId: %s\napiBaseUrl: %s\njwtBearer:\n  consumerKey: %s\n  username: %s\n"+
		"  audience: %s\n  tokenUrl: %s\n  key: {file: %s}\n%s", org.OrgID, org.APIBaseURL, org.JWTBearer.ConsumerKey,
		org.JWTBearer.Username, org.JWTBearer.Audience, org.JWTBearer.TokenURL, org.JWTBearer.Key.File, more)
	require.NoError(b, os.WriteFile(f.file(n), []byte(text), 0o600))
}

// untilLogged waits for a line of the worker about an org.
func (f orgFiles) untilLogged(b *testing.B, n int, message string) {
	b.Helper()
	require.Eventually(b, func() bool {
		return f.logs.FilterMessage(message).FilterField(zap.String("orgId", orgID(n))).Len() > 0
	}, time.Minute, 100*time.Millisecond, message)
}

// BenchmarkOrgsThatComeAndGo closes 1,000 chats of 299 orgs, 20 a second, while another org is
// added, gets a new login, breaks, is repaired, and is removed. It measures how long the
// calls of the others take.
func BenchmarkOrgsThatComeAndGo(b *testing.B) {
	const orgs, chats = 300, 1000
	f := newOrgRig(b, orgs, 0, func(*simulator.Config) {}, nil).followFiles(b)
	last := orgs - 1
	for b.Loop() {
		quiet := f.closeSteadily(b, last, chats)
		var changes sync.WaitGroup
		changes.Go(func() {
			f.write(b, last, "")
			f.untilLogged(b, last, "Org added")
			f.write(b, last, "callTimeout: 5s\n")
			f.untilLogged(b, last, "Org has new settings")
			f.write(b, last, "callTimeout: 1h\n")
			f.untilLogged(b, last, "The settings of an org were not taken, the last good ones are in use")
			f.write(b, last, "paused: true\npauseReason: repair\n")
			f.untilLogged(b, last, "The settings of an org can be used again")
			require.NoError(b, os.Remove(f.file(last)))
			f.untilLogged(b, last, "Org removed")
		})
		beside := f.closeSteadily(b, last, chats)
		changes.Wait()
		for name, all := range map[string][]time.Duration{"quiet": quiet, "beside": beside} {
			b.ReportMetric(percentile(all, 0.5).Seconds()*1000, name+"-p50-ms")
			b.ReportMetric(percentile(all, 0.99).Seconds()*1000, name+"-p99-ms")
			b.ReportMetric(percentile(all, 1).Seconds()*1000, name+"-max-ms")
		}
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkPausedOrg closes 500 chats of a paused org. It measures how long the last one
// takes when the org is not paused any more.
func BenchmarkPausedOrg(b *testing.B) {
	f := newOrgRig(b, 2, 0, func(*simulator.Config) {}, nil).followFiles(b)
	for b.Loop() {
		f.write(b, 0, "paused: true\npauseReason: maintenance\n")
		f.untilLogged(b, 0, "Org is paused")
		all := f.starts(b, 0, 500)
		forEach(b, all, f.sender.Start)
		forEach(b, all, f.hangUp)
		<-time.After(*pause)
		f.write(b, 0, "")
		f.untilLogged(b, 0, "Org is ready")
		began := time.Now()
		for _, s := range all {
			require.NoError(b, f.Temporal.GetWorkflow(b.Context(), s.WorkflowID(), "").Get(b.Context(), nil))
		}
		b.ReportMetric(time.Since(began).Seconds(), "s-until-all-ended")
	}
	b.ReportMetric(0, "ns/op")
}

var pause = flag.Duration("bench.pause", time.Minute, "how long an org is paused")

// closeSteadily closes chats of the first orgs, 20 a second, and returns how long each took
// from the hang-up to its call.
func (r orgRig) closeSteadily(b *testing.B, orgs, chats int) (took []time.Duration) {
	b.Helper()
	var all []conversation.Start
	for n := range chats {
		all = append(all, r.starts(b, n%orgs, 1)...)
	}
	forEach(b, all, r.sender.Start)
	hungUp := map[string]time.Time{}
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for _, s := range all {
		<-ticker.C
		hungUp[s.ConversationIdentifier] = time.Now()
		_, err := r.hangUp(b.Context(), s)
		require.NoError(b, err)
	}
	for _, s := range all {
		require.NoError(b, r.Temporal.GetWorkflow(b.Context(), s.WorkflowID(), "").Get(b.Context(), nil))
	}
	for _, e := range r.Sandbox.Journal() {
		if at, ok := hungUp[e.ConversationIdentifier]; ok && e.Operation == "End" {
			took = append(took, e.ReceivedAt.Sub(at))
		}
	}
	return took
}
