package serve

import "time"

// RereadAfter makes a test of changed tokens short.
func RereadAfter(t *Tokens, every time.Duration) { t.every = every }
