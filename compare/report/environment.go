package report

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"sessionkeeper/compare/engine"
	"sessionkeeper/compare/stores"
)

// Environment has the machine and the versions of a run.
type Environment struct {
	Machine Machine `json:"machine"`
	// Versions are those of servers and libraries, by name.
	Versions map[string]string `json:"versions"`
}

// Machine has the hardware and the operating system.
type Machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Memory string `json:"memory"`
	System string `json:"system"`
}

// CurrentEnvironment returns the environment of this process.
func CurrentEnvironment(servers stores.Servers) Environment {
	versions := map[string]string{
		"PostgreSQL": servers.Postgres.Version,
		"Redis":      servers.Redis.Version,
		"Go":         strings.TrimPrefix(runtime.Version(), "go"),
	}
	libraries := []string{"go.temporal.io/server", "github.com/riverqueue/river/riverdriver/riverpgxv5"}
	for _, e := range engine.All() {
		libraries = append(libraries, e.Library)
	}
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, dependency := range build.Deps {
			if slices.Contains(libraries, dependency.Path) {
				versions[dependency.Path] = dependency.Version
			}
		}
	}
	return Environment{Machine: currentMachine(), Versions: versions}
}

func (e Environment) versionLines() []string {
	lines := make([]string, 0, len(e.Versions))
	for name, version := range e.Versions {
		lines = append(lines, name+" "+version)
	}
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) })
	return lines
}

func currentMachine() Machine {
	m := Machine{CPU: runtime.GOARCH, Cores: runtime.NumCPU(), Memory: "unknown", System: runtime.GOOS}
	if model := procField("/proc/cpuinfo", "model name"); model != "" {
		m.CPU = model
	}
	kilobytes, err := strconv.ParseFloat(strings.TrimSuffix(procField("/proc/meminfo", "MemTotal"), " kB"), 64)
	if err == nil {
		m.Memory = fmt.Sprintf("%.0f GiB", kilobytes/(1<<20))
	}
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.System = "Linux " + strings.TrimSpace(string(release))
	}
	return m
}

func (m Machine) lines() []string {
	return []string{fmt.Sprintf("%d cores of %s", m.Cores, m.CPU), m.Memory + " of memory", m.System}
}

// procField returns the first value of a name in a file of "name: value" lines,
// or "" when there is none.
func procField(path, name string) string {
	file, err := os.Open(path) //nolint:gosec // path is a file in /proc
	if err != nil {
		return ""
	}
	defer func() { _ = file.Close() }()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
