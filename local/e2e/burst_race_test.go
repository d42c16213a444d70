//go:build race

package e2e_test

import "time"

// burstSize is smaller under the race detector, which slows the server's
// database down by more than ten times.
const burstSize = 200

// burstWait is the longest time that a task of theirs may wait undispatched.
const burstWait = 30 * time.Second

// slowed says that the race detector slows the server down, too much for tests
// that load it.
const slowed = true
