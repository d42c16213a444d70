package report

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sessionkeeper/compare/job"
)

func TestRowsHaveAFigureOrADash(t *testing.T) {
	require.Equal(t, [][]string{
		{
			"engine", "messages/s, 1,000", "messages/s, 10,000", "CPU s/1,000 messages",
			"late min", "p50", "p99", "max", "early", "lost", "doubled", "bytes/idle conversation", "actions", "events",
		},
		{
			"sessionkeeper", "5,000,000", "4,500,000", "0.0010",
			"4 ms", "21 ms", "612 ms", "1.23 s", "0", "0", "0", "40,370", "14", "60",
		},
		{
			"asynq", "12,000", "–", "–",
			"-595 ms", "1.81 s", "4.39 s", "4.41 s", "50", "1", "2", "531", "–", "–",
		},
		{"River", "–", "–", "–", "–", "–", "–", "–", "–", "–", "–", "–", "–", "–"},
	}, fixture().rows())
}

func TestNotes(t *testing.T) {
	require.Equal(t, []string{
		"asynq: lost the last message of 3 of 200 conversations.",
		"asynq: took 300 messages/s of the 500 offered while the idle calls were measured.",
		"asynq: throughput: 10000 conversations: start: no | space.",
		"River: run: exit status 2.",
	}, fixture().notes())
}

func TestConversationsWithoutCallsAreLostNotLate(t *testing.T) {
	r := Report{Plan: job.Full(), Results: []job.Result{{Name: "x", Lateness: &job.Lateness{Expected: 7, Lost: 7}}}}
	require.Equal(t, []string{"x", "–", "–", "–", "–", "–", "–", "–", "–", "7", "–", "–", "–", "–"}, r.rows()[1])
}

func TestLongReasonIsCutOff(t *testing.T) {
	require.Equal(t, strings.Repeat("ä", 300)+"…", oneLine(strings.Repeat("ä", 1000)))
	require.Equal(t, "two lines", oneLine("two\n\tlines\n"))
}

func TestSignificant(t *testing.T) {
	for want, x := range map[string]float64{
		"0": 0, "< 0.0001": 0.00001, "0.00010": 0.0001, "0.0014": 0.00141,
		"0.034": 0.0341, "0.23": 0.234, "6.8": 6.81, "15.8": 15.84,
	} {
		require.Equal(t, want, significant(x), "%v", x)
	}
}

func TestPrintAlignsTheTable(t *testing.T) {
	var out strings.Builder
	require.NoError(t, fixture().Print(&out))
	lines := strings.Split(out.String(), "\n")
	require.Len(t, lines, 4+4+1)
	for _, line := range lines[:4] {
		require.Len(t, []rune(line), len([]rune(lines[0])), line)
	}
	require.Regexp(t, `^\s*asynq \s+12,000`, lines[2])
}

func TestPrintReturnsTheErrorOfTheWriter(t *testing.T) {
	require.ErrorIs(t, fixture().Print(closedWriter{}), io.ErrClosedPipe)
}

type closedWriter struct{}

func (closedWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestMarkdown(t *testing.T) {
	text := fixture().Markdown()
	lines := strings.Split(text, "\n")
	for _, line := range lines[:5] {
		require.Equal(t, 15, strings.Count(line, "|"), line)
	}
	require.Equal(t, "|---|"+strings.Repeat("---:|", 13), lines[1])
	for _, want := range []string{
		`- asynq: throughput: 10000 conversations: start: no \| space.`,
		"- Messages/s: 32 senders", "over 1,000 and 10,000 conversations, for 20s each",
		"- 2 cores of Testprocessor", "- 24 GiB of memory", "- PostgreSQL 15.9", "- github.com/hibiken/asynq v0.26.0",
		"appendfsync everysec", "Measured on 1 March 2026 in 29m0s.",
	} {
		require.Contains(t, text, want)
	}
}

func TestParametersOfAPlanWithoutStartTime(t *testing.T) {
	plan := job.Full()
	require.Contains(t, Parameters(plan), "conversations start one after the other within 1m0s, get 500 messages/s")
	plan.Lateness.StartWithin = 0
	require.Contains(t, Parameters(plan), "conversations start as fast as the message rate allows, get 500 messages/s")
}

func TestWrite(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "docs", "benchmarks")
	want := fixture()
	require.NoError(t, want.Write(folder))

	files, err := os.ReadDir(folder)
	require.NoError(t, err)
	var names []string
	for _, file := range files {
		names = append(names, file.Name())
	}
	require.Equal(t, []string{
		"actions.svg", "cpu.svg", "lateness.svg", "results.json", "stored.svg", "table.md",
		"throughput-1000.svg", "throughput-10000.svg",
	}, names)

	data, err := os.ReadFile(filepath.Join(folder, "results.json"))
	require.NoError(t, err)
	var got Report
	require.NoError(t, json.Unmarshal(data, &got))
	require.Equal(t, want, got)
}

func TestChartsAreXMLWithTheEnginesThatHaveTheFigure(t *testing.T) {
	charts := fixture().charts()
	for name, want := range map[string][]string{
		"lateness.svg":         {"sessionkeeper", "21 ms, 612 ms, 1.23 s", "50 early, by up to 595 ms; 1 lost"},
		"throughput-1000.svg":  {"sessionkeeper", "5,000,000", "12,000"},
		"throughput-10000.svg": {"4,500,000"},
		"cpu.svg":              {"0.0010 s"},
		"actions.svg":          {"14"},
	} {
		svg, err := charts[name].svg()
		require.NoError(t, err)
		for _, text := range want {
			require.Contains(t, string(svg), text, name)
		}
		require.NotContains(t, string(svg), "River", name)
		for decoder := xml.NewDecoder(strings.NewReader(string(svg))); ; {
			_, err := decoder.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err, name)
		}
	}
}

// A report is written at the end of a long run, so unusual figures must not make
// it fail.
func TestWriteUnusualFigures(t *testing.T) {
	for name, r := range map[string]Report{
		"nothing":    {Plan: job.Full()},
		"no results": {Plan: job.Full(), Results: []job.Result{{Name: "x"}}},
		"zeros": {Plan: job.Full(), Results: []job.Result{{
			Name: "x", Throughput: []job.Throughput{{Conversations: 1_000, Took: time.Second}},
			Lateness: &job.Lateness{Calls: 1}, Stored: new(float64),
		}}},
		"all early": {Plan: job.Full(), Results: []job.Result{{
			Name: "x", Lateness: &job.Lateness{Calls: 1, Early: 1, Min: -2, P50: -2, P99: -2, Max: -2},
		}}},
		"zero duration": {Plan: job.Full(), Results: []job.Result{{
			Name: "x", Throughput: []job.Throughput{{Conversations: 1_000, Messages: 1}},
		}}},
		"less stored than before": {Plan: job.Full(), Results: []job.Result{{Name: "x", Stored: new(-8192.0)}}},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, r.Write(t.TempDir()))
		})
	}
}
