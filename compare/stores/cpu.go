package stores

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// CPU is the CPU time that the servers have used so far, in all their processes:
// those that run and those that have ended.
func (s Servers) CPU() (time.Duration, error) {
	return cpuOfTrees(s.Postgres.PID, s.Redis.PID)
}

// tick is the unit of times in /proc/<pid>/stat, USER_HZ. It is 100 per second on
// every Linux architecture that Go supports (proc(5), time(7)).
const tick = time.Second / 100

// processTime has the CPU time of a process from /proc/<pid>/stat.
type processTime struct {
	parent int
	// own is the time of the process itself, ended the time of the children that
	// it has waited for.
	own, ended time.Duration
}

// cpuOfTrees adds up the CPU time of processes and of all their descendants.
func cpuOfTrees(roots ...int) (time.Duration, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, fmt.Errorf("CPU time of the stores: %w", err)
	}
	processes := map[int]processTime{}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		found, err := readProcess(pid)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ESRCH): // it has ended meanwhile
		case err != nil:
			return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
		default:
			processes[pid] = found
		}
	}
	var total time.Duration
	for _, root := range roots {
		if _, runs := processes[root]; !runs {
			return 0, fmt.Errorf("CPU time of process %d: %w", root, os.ErrProcessDone)
		}
	}
	for pid, p := range processes {
		if isInTree(processes, pid, roots) {
			total += p.own + p.ended
		}
	}
	return total, nil
}

// isInTree reports whether a process is one of the roots or a descendant of one.
func isInTree(processes map[int]processTime, pid int, roots []int) bool {
	for pid > 1 {
		if slices.Contains(roots, pid) {
			return true
		}
		pid = processes[pid].parent
	}
	return false
}

func readProcess(pid int) (processTime, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return processTime{}, err
	}
	return parseStat(text)
}

// parseStat parses the line that proc(5) describes. The second field is the
// program's name in parentheses. It may contain any character.
func parseStat(text []byte) (processTime, error) {
	end := bytes.LastIndexByte(text, ')')
	if end < 0 {
		return processTime{}, fmt.Errorf("stat %q: no program name", text)
	}
	// fields starts at the process state, which is field 3 in proc(5).
	fields := strings.Fields(string(text[end+1:]))
	if len(fields) < 15 {
		return processTime{}, fmt.Errorf("stat %q: too few fields", text)
	}
	var numbers [5]int64
	for i, field := range []int{1, 11, 12, 13, 14} {
		n, err := strconv.ParseInt(fields[field], 10, 64)
		if err != nil {
			return processTime{}, fmt.Errorf("stat %q: %w", text, err)
		}
		numbers[i] = n
	}
	return processTime{
		parent: int(numbers[0]),
		own:    time.Duration(numbers[1]+numbers[2]) * tick,
		ended:  time.Duration(numbers[3]+numbers[4]) * tick,
	}, nil
}
