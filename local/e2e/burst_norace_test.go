//go:build !race

package e2e_test

import "time"

// burstSize is how many conversations start and close at once.
const burstSize = 1000

// burstWait is the longest time that a task of theirs may wait undispatched.
const burstWait = 10 * time.Second

// slowed says that the race detector slows the server down, too much for tests
// that load it.
const slowed = false
