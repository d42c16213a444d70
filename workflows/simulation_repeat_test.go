//go:build !race

package workflows

import (
	"testing"

	"github.com/stretchr/testify/require"

	"sessionkeeper/internal/simulation"
)

// The same story always runs the same way, so a failure can be played again.
//
// The race detector chooses by chance which of several goroutines goes on that wait for the
// same report. Then it is another story.
func TestStoriesRepeat(t *testing.T) {
	for seed := range uint64(200) {
		story := simulation.Draw(seed)
		first, _ := simulate(t, story)
		second, _ := simulate(t, story)
		require.Equal(t, first.String(), second.String(), "seed %d", seed)
	}
}
