package receiver_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sessionkeeper/internal/receiver"
)

// fixedTime formats every time with the same length.
const fixedTime = "2006-01-02T15:04:05.000000000Z"

// load is a batch that is sent repeatedly. Its events get the current time each time.
type load struct {
	body  []byte
	times []int
}

// newLoad returns a batch of messages of consecutive conversations.
func newLoad(first, size, conversations int) *load {
	l := &load{}
	var events []string
	for i := range size {
		text := event("message", fmt.Sprintf("conversation-%d", (first+i)%conversations), time.Time{})
		events = append(events, strings.Replace(text, time.Time{}.Format(time.RFC3339Nano), fixedTime, 1))
	}
	l.body = []byte(batch(events...))
	for at := 0; ; {
		next := bytes.Index(l.body[at:], []byte(fixedTime))
		if next < 0 {
			return l
		}
		at += next
		l.times = append(l.times, at)
		at += len(fixedTime)
	}
}

func (l *load) now() []byte {
	now := []byte(time.Now().UTC().Format(fixedTime))
	for _, at := range l.times {
		copy(l.body[at:], now)
	}
	return l.body
}

// BenchmarkEvents sends batches of messages of 10,000 running conversations, from one
// client per processor. The clients run in the same process: their CPU time and memory
// are part of the result.
//
//	go test -run '^$' -bench Events -benchtime 20s ./internal/receiver
func BenchmarkEvents(b *testing.B) {
	const conversations = 10_000
	for _, size := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			srv := startServer(b, func(o *receiver.Options) { o.DrainTimeout = time.Minute })
			for first := 0; first < conversations; first += 1000 {
				events := newLoad(first, 1000, conversations).now()
				require.Equal(b, http.StatusAccepted, srv.post(b, batchType, string(events)).status)
			}
			before := heap()
			var clients atomic.Int64
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(p *testing.PB) {
				l := newLoad(int(clients.Add(1))*size, size, conversations)
				for p.Next() {
					if err := srv.send(b, l.now()); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.StopTimer()
			b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(before, "heap-MB-before")
			b.ReportMetric(heap(), "heap-MB-after")
			require.Len(b, srv.temporal.Calls(), conversations, "one report per conversation, not per message")
		})
	}
}

// heap returns the live heap in megabytes.
func heap() float64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return float64(stats.HeapAlloc) / (1 << 20)
}

func (srv *testServer) send(b *testing.B, body []byte) error {
	request, err := http.NewRequestWithContext(b.Context(), http.MethodPost, srv.url+"/v1/events", bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", batchType)
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if text, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusAccepted {
		return fmt.Errorf("%s: %s", response.Status, text)
	}
	return nil
}
