package sender

// queue is a heap of entries, ordered by due time. Entries in flight are not in
// it.
type queue []*entry

// notQueued is the heapIndex of an entry that is not in the queue.
const notQueued = -1

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].due < q[j].due }

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].heapIndex, q[j].heapIndex = int32(i), int32(j) //nolint:gosec // bounded by MaxConversations
}

// Push implements heap.Interface.
func (q *queue) Push(e any) {
	last := e.(*entry)              //nolint:errcheck // nothing else is pushed
	last.heapIndex = int32(len(*q)) //nolint:gosec // bounded by MaxConversations
	*q = append(*q, last)
}

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	(*q)[len(*q)-1] = nil
	*q = (*q)[:len(*q)-1]
	last.heapIndex = notQueued
	return last
}
