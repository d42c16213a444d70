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

// fixedTime has the same length whatever the time.
const fixedTime = "2006-01-02T15:04:05.000000000Z"

// load is a batch that is sent again and again, of now each time.
type load struct {
	body  []byte
	times []int
}

// newLoad is a batch of messages of conversations that follow on one another.
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

// BenchmarkEvents sends batches of messages over 10,000 conversations that run,
// from as many clients as there are processors, in the same process: what they
// need is part of what is measured.
//
//	go test -run '^$' -bench Events -benchtime 20s ./internal/receiver
func BenchmarkEvents(b *testing.B) {
	const conversations = 10_000
	for _, size := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			d := open(b, func(o *receiver.Options) { o.DrainTimeout = time.Minute })
			for first := 0; first < conversations; first += 1000 {
				require.Equal(b, http.StatusAccepted, d.post(b, many, string(newLoad(first, 1000, conversations).now())).status)
			}
			before := heap()
			var clients atomic.Int64
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(p *testing.PB) {
				l := newLoad(int(clients.Add(1))*size, size, conversations)
				for p.Next() {
					if err := d.send(b, l.now()); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.StopTimer()
			b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(before, "heap-MB-before")
			b.ReportMetric(heap(), "heap-MB-after")
			require.Len(b, d.temporal.Calls(), conversations, "a report for each conversation, none for each message")
		})
	}
}

// heap is what lives, in megabytes.
func heap() float64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return float64(stats.HeapAlloc) / (1 << 20)
}

func (d *door) send(b *testing.B, body []byte) error {
	request, err := http.NewRequestWithContext(b.Context(), http.MethodPost, d.url+"/v1/events", bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", many)
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if said, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusAccepted {
		return fmt.Errorf("%s: %s", response.Status, said)
	}
	return nil
}
