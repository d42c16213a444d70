package bench_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sessionkeeper/conversation"
	"sessionkeeper/local/stack"
	"sessionkeeper/sandbox/simulator"
)

// attackedEnv makes the test program the attacker of the receiver at this address.
const attackedEnv = "SESSIONKEEPER_BENCH_ATTACK"

func TestMain(m *testing.M) {
	if address := os.Getenv(attackedEnv); address != "" {
		(&server{address: address}).attack(context.Background())
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// BenchmarkHostileToken measures how long the requests of one token take while the holder
// of another one does what it can to be in the way: 64 bodies that arrive byte by byte,
// five starts with a window of a year, batches of 1,000 statuses of one conversation, and
// fields of a megabyte, each as fast as it is answered. The attacker is a process of the
// lowest priority, because it would have a machine of its own. In the phase "elsewhere" it
// attacks another receiver on the same machine: that shows what the load alone costs.
func BenchmarkHostileToken(b *testing.B) {
	const phase = 15 * time.Second
	r := newRig(b)
	served, other := serve(b, r.Stack), serve(b, r.Stack)
	took := map[string][]time.Duration{}
	for b.Loop() {
		for range 3 {
			took["quiet"] = append(took["quiet"], served.startsFor(b, r, phase)...)
			stop := other.beginAttack(b)
			took["elsewhere"] = append(took["elsewhere"], served.startsFor(b, r, phase)...)
			stop()
			stop = served.beginAttack(b)
			took["hostile"] = append(took["hostile"], served.startsFor(b, r, phase)...)
			stop()
		}
	}
	for name, all := range took {
		b.ReportMetric(percentile(all, 0.5).Seconds()*1000, name+"-p50-ms")
		b.ReportMetric(percentile(all, 0.99).Seconds()*1000, name+"-p99-ms")
	}
	b.ReportMetric(served.peakMemory(b), "peak-MB")
	b.ReportMetric(0, "ns/op")
	b.Logf("%d starts in each kind of phase; requests: %s", len(took["quiet"]), served.requests(b))
}

// percentile is the shortest time within which so many of all requests were answered.
func percentile(all []time.Duration, part float64) time.Duration {
	slices.Sort(all)
	return all[int(part*float64(len(all)-1))]
}

// server is starter serve, with two tokens.
type server struct {
	process          int
	address, metrics string
}

const peaceful, attacker = "token-of-the-peaceful-holder", "token-of-the-attacker"

// hostileOrg is the org of the attacker. The worker does not know it.
const hostileOrg = "00D000000000009"

func serve(b *testing.B, s *stack.Stack) *server {
	b.Helper()
	folder := b.TempDir()
	build := exec.CommandContext(b.Context(), "go", "build", "-o", folder, "./starter")
	build.Dir = filepath.Join("..", "..")
	out, err := build.CombinedOutput()
	require.NoError(b, err, string(out))
	tokens := filepath.Join(folder, "tokens.yaml")
	line := func(name, token, org string) string {
		return fmt.Sprintf("- {name: %s, orgs: [%s], sha256: \"%x\"}\n", name, org, sha256.Sum256([]byte(token)))
	}
	text := line("peaceful", peaceful, simulator.DemoOrgID) + line("attacker", attacker, hostileOrg)
	require.NoError(b, os.WriteFile(tokens, []byte(text), 0o600))
	command := exec.CommandContext(b.Context(), filepath.Join(folder, "starter"), "serve",
		"-listen", "127.0.0.1:0", "-metrics-listen", "127.0.0.1:0", "-tokens", tokens, "-log-format", "json")
	command.Env = append(os.Environ(), "TEMPORAL_ADDRESS="+s.TemporalAddress, "TEMPORAL_NAMESPACE="+stack.Namespace)
	log, err := command.StderrPipe()
	require.NoError(b, err)
	require.NoError(b, command.Start())
	b.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	addresses := make(chan [2]string, 1)
	go func() {
		var seen []byte
		part := make([]byte, 4096)
		for {
			n, err := log.Read(part)
			if seen = append(seen, part[:n]...); len(addresses) == 0 {
				if found := regexp.MustCompile(`"listen": ?"([^"]+)","metrics": ?"([^"]+)"`).FindSubmatch(seen); found != nil {
					addresses <- [2]string{string(found[1]), string(found[2])}
				}
			}
			if err != nil {
				return
			}
		}
	}()
	select {
	case found := <-addresses:
		return &server{process: command.Process.Pid, address: found[0], metrics: found[1]}
	case <-time.After(time.Minute):
		require.FailNow(b, "starter serve does not say its address")
		return nil
	}
}

func event(kind string, data any) []byte {
	text, err := json.Marshal(map[string]any{
		"specversion": "1.0", "id": "e", "source": "/bench", "type": "sessionkeeper.conversation." + kind,
		"orgid": hostileOrg, "time": time.Now().UTC(), "data": data,
	})
	if err != nil {
		panic(err)
	}
	return text
}

func (s *server) post(ctx context.Context, token, contentType string, body []byte) (status int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.address+"/v1/events", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Content-Type", contentType)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, err
}

// startsFor starts 20 conversations a second, whether the one before is answered or not.
func (s *server) startsFor(b *testing.B, r rig, phase time.Duration) []time.Duration {
	b.Helper()
	const pause = 50 * time.Millisecond
	took := make([]time.Duration, phase/pause)
	failed := atomic.Int64{}
	var requests sync.WaitGroup
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for i := range took {
		start := r.next(b)
		<-tick.C
		requests.Go(func() {
			began := time.Now()
			status, err := s.post(b.Context(), peaceful, "application/cloudevents+json", event("started", start))
			took[i] = time.Since(began)
			if err != nil || status != http.StatusAccepted {
				failed.Add(1)
			}
		})
	}
	requests.Wait()
	require.Zero(b, failed.Load(), "requests of the peaceful holder that were not accepted")
	return took
}

// beginAttack starts the attacker.
func (s *server) beginAttack(b *testing.B) (stop func()) {
	b.Helper()
	self, err := os.Executable()
	require.NoError(b, err)
	command := exec.CommandContext(b.Context(), "nice", "-n", "19", self)
	command.Env = append(os.Environ(), attackedEnv+"="+s.address)
	require.NoError(b, command.Start())
	return func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	}
}

// attack does what the holder of a hostile token may do, until the process is killed.
func (s *server) attack(ctx context.Context) {
	identity := conversation.Identity{
		OrgID: hostileOrg, AuthorizationContext: "Partner1", ChannelAddressIdentifier: simulator.DemoChannelAddress,
		EndUserClientID: "attacker", ConversationIdentifier: "attack",
	}
	year := conversation.Policy{InactivateAfter: new(conversation.Duration(365 * 24 * time.Hour))}
	var group sync.WaitGroup
	repeat := func(contentType string, body []byte) {
		group.Go(func() {
			for {
				_, _ = s.post(ctx, attacker, contentType, body)
			}
		})
	}
	for range 64 {
		group.Go(func() { s.dribble(ctx) })
	}
	for n := range 5 {
		start := conversation.Start{Identity: identity, Policy: year}
		start.ConversationIdentifier += fmt.Sprint(n)
		_, _ = s.post(ctx, attacker, "application/cloudevents+json", event("started", start))
	}
	status := string(event("session-status", map[string]any{
		"conversationIdentifier": "attack0", "sessionId": "0Mw000000000001", "sessionStatus": "Active",
	}))
	large := identity
	large.EndUserClientID = strings.Repeat("x", 1_000_000)
	for range 2 {
		repeat("application/cloudevents-batch+json", []byte("["+strings.Repeat(status+",", 999)+status+"]"))
		repeat("application/cloudevents+json", event("message", large))
	}
	group.Wait()
}

// requests is how many requests the receiver counted, by status.
func (s *server) requests(b *testing.B) string {
	b.Helper()
	request, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "http://"+s.metrics+"/metrics", http.NoBody)
	require.NoError(b, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(b, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(b, err)
	return strings.Join(regexp.MustCompile(`(?m)^sessionkeeper_http_request_duration_seconds_count.*$`).FindAllString(string(text), -1), "; ")
}

// dribble sends a body of a megabyte at ten bytes a second, again and again.
func (s *server) dribble(ctx context.Context) {
	for ctx.Err() == nil {
		connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.address)
		if err != nil {
			return
		}
		_, err = fmt.Fprintf(connection, "POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"+
			"Content-Type: application/cloudevents+json\r\nContent-Length: 1000000\r\n\r\n", attacker)
		tick := time.NewTicker(100 * time.Millisecond)
		for err == nil {
			select {
			case <-ctx.Done():
				err = ctx.Err()
			case <-tick.C:
				_, err = connection.Write([]byte("x"))
			}
		}
		tick.Stop()
		_ = connection.Close()
	}
}

// peakMemory is the most resident memory that the process had, in MB.
func (s *server) peakMemory(b *testing.B) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.process))
	require.NoError(b, err)
	found := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(text)
	require.NotNil(b, found)
	kB, err := strconv.Atoi(string(found[1]))
	require.NoError(b, err)
	return float64(kB) / 1000
}
