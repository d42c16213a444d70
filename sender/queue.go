package sender

// queue is a heap of windows, the first one due on top. Those that are claimed
// are not in it.
type queue []*window

// nowhere is the place of a window that is not in the queue.
const nowhere = -1

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].due < q[j].due }

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = int32(i), int32(j) //nolint:gosec // there are not that many
}

// Push implements heap.Interface.
func (q *queue) Push(w any) {
	last := w.(*window)         //nolint:errcheck,forcetypeassert // nothing else is pushed
	last.place = int32(len(*q)) //nolint:gosec // there are not that many
	*q = append(*q, last)
}

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	(*q)[len(*q)-1] = nil
	*q = (*q)[:len(*q)-1]
	last.place = nowhere
	return last
}
