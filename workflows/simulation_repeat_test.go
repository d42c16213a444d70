//go:build !race

package workflows

import (
	"testing"

	"github.com/stretchr/testify/require"

	"sessionkeeper/internal/simulation"
)

// The same story runs the same way, so a failure can be played again.
//
// Only the order of goroutines that wait for the same report is the scheduler's. The race
// detector chooses it by chance. A busy machine changes it now and then, so a story may be
// played three times.
func TestStoriesRepeat(t *testing.T) {
	for seed := range uint64(200) {
		story := simulation.Draw(seed)
		first, _ := simulate(t, story)
		var again string
		for range 3 {
			second, _ := simulate(t, story)
			if again = second.String(); again == first.String() {
				break
			}
		}
		require.Equal(t, first.String(), again, "seed %d", seed)
	}
}
