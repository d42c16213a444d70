package service

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"sessionkeeper/activities"
	"sessionkeeper/internal/gate"
)

// Orgs are the orgs of a worker. They follow the configuration while the worker runs.
type Orgs struct {
	version string
	logger  *zap.Logger

	// mu guards byID, its orgs and problems. Only one goroutine changes them.
	mu   sync.RWMutex
	byID map[string]*org
	// problems say what of the configuration cannot be used, besides the settings of a known
	// org: by file, or "configuration" or "orgFolder".
	problems map[string]error

	// seen are the fingerprints of changes that were read once, by the ids of the orgs.
	seen map[string]string
}

// org is one org with the settings that are in use.
type org struct {
	activities.Org
	// used is what the org is called with.
	used reading
	// taken is the fingerprint of what was read last, and was taken or refused.
	taken string
	// problem says why newer settings are not in use, or why there are none.
	problem error
}

// Keys of Orgs.problems.
const (
	theConfiguration = "configuration"
	theFolder        = "orgFolder"
)

var errFolderIsEmpty = errors.New("orgFolder has no file any more")

// notUsable is why the calls of an org wait whose settings cannot be used.
const notUsable = "its settings cannot be used"

// NewOrgs returns the orgs of a configuration. It reads the secrets and sends no requests.
func NewOrgs(config Config, version string, logger *zap.Logger) *Orgs {
	o := &Orgs{version: version, logger: logger, byID: map[string]*org{}, seen: map[string]string{}}
	o.report(config.unusable)
	for _, settings := range config.Orgs {
		o.take(newReading(settings))
	}
	return o
}

// Org returns an org by its 15-character id. It implements [activities.Orgs].
func (o *Orgs) Org(id string) (activities.Org, bool) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	found, ok := o.byID[id]
	if !ok {
		return activities.Org{}, false
	}
	return found.Org, true
}

// usable returns the ids of the orgs that can be called, unless they are paused.
func (o *Orgs) usable() (ids []string) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	for id, org := range o.byID {
		if org.API != nil {
			ids = append(ids, id)
		}
	}
	return ids
}

// reloadInterval is how often the configuration is read. A change of an org is taken when it
// was read twice, so that a file which is being written is not read halfway.
const reloadInterval = 3 * time.Second

// Watch takes the changes of a configuration file, its folder of orgs and the secrets until
// ctx ends. repaired is called with the orgs whose blocked calls may succeed now.
func (o *Orgs) Watch(ctx context.Context, path string, repaired func(orgs []string)) {
	go func() {
		ticker := time.NewTicker(reloadInterval)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			if orgs := o.reload(path); len(orgs) > 0 {
				repaired(orgs)
			}
		}
	}()
}

// reload reads the configuration and takes the changes. It returns the ids of the orgs with
// a new login.
func (o *Orgs) reload(path string) (repaired []string) {
	config, err := LoadConfig(path)
	if err != nil { // keep all orgs as they are
		problems := map[string]error{}
		maps.Copy(problems, o.problems)
		problems[theConfiguration] = err
		o.report(problems)
		return nil
	}
	problems := maps.Clone(config.unusable)
	if o.lostFolder(config) {
		problems[theFolder] = errFolderIsEmpty
	}
	o.report(problems)
	configured := map[string]bool{}
	for _, settings := range config.Orgs {
		r := newReading(settings)
		configured[settings.OrgID] = true
		if found := o.byID[settings.OrgID]; found != nil && found.taken == r.whole {
			delete(o.seen, settings.OrgID)
		} else if o.isSeenTwice(settings.OrgID, r.whole) && o.take(r) {
			repaired = append(repaired, settings.OrgID)
		}
	}
	// An org that is not found may be in a file that cannot be read.
	if len(problems) == 0 {
		o.removeOthers(configured)
	}
	return repaired
}

// lostFolder reports whether all files of the folder are gone. A volume that is not mounted
// looks like that.
func (o *Orgs) lostFolder(next Config) bool {
	had := slices.ContainsFunc(slices.Collect(maps.Values(o.byID)), func(o *org) bool { return o.used.settings.ofFolder })
	return next.OrgFolder != "" && had && !slices.ContainsFunc(next.Orgs, func(o Org) bool { return o.ofFolder })
}

// isSeenTwice reports whether the same change of an org was read the last time.
func (o *Orgs) isSeenTwice(id, change string) bool {
	before := o.seen[id]
	o.seen[id] = change
	return before == change
}

// report shows the problems of the configuration, and logs those that are new or gone.
func (o *Orgs) report(problems map[string]error) {
	for _, place := range slices.Sorted(maps.Keys(problems)) {
		if before := o.problems[place]; before == nil || before.Error() != problems[place].Error() {
			o.logger.Error("Settings were not taken, the last good ones are in use",
				zap.String("place", place), zap.Error(problems[place]))
		}
	}
	for _, place := range slices.Sorted(maps.Keys(o.problems)) {
		if problems[place] == nil {
			o.logger.Info("Settings can be used again", zap.String("place", place))
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.problems = problems
}

// removeOthers removes the orgs that are not configured any more.
func (o *Orgs) removeOthers(configured map[string]bool) {
	for _, id := range slices.Sorted(maps.Keys(o.byID)) {
		if configured[id] || !o.isSeenTwice(id, "removed") {
			continue
		}
		o.mu.Lock()
		delete(o.byID, id)
		o.mu.Unlock()
		o.logger.Info("Org removed", zap.String("orgId", id))
	}
}

// take uses the settings of an org. It reports whether the login is new.
func (o *Orgs) take(r reading) (newLogin bool) {
	id := r.settings.OrgID
	before, next := o.byID[id], &org{used: r, taken: r.whole}
	if before == nil {
		before = &org{Org: activities.Org{Gate: o.newGate(id, r)}}
	}
	next.Org = before.Org
	var err error
	if before.API == nil || before.used.forClient != r.forClient || r.problem != nil {
		next.API, err = r.client(o.version, nil)
	}
	if err != nil {
		next = before.refused(r, err)
	}
	next.Gate.Change(next.limits())
	o.log(before, next)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.byID[id] = next
	return err == nil && (before.API == nil || before.used.login != r.login)
}

// refused is an org whose newer settings cannot be used. A pause and other limits count all
// the same if only the secret is at fault: they need none.
func (o *org) refused(r reading, err error) *org {
	next := &org{Org: o.Org, used: o.used, taken: r.whole, problem: err}
	if o.API == nil {
		next.used = r
	}
	if r.settings.problem == nil {
		next.used.settings.limitsOf(r.settings)
	}
	return next
}

// limits are the limits of the org's calls. Without a client, all of them wait.
func (o *org) limits() gate.Settings {
	limits := o.used.limits()
	if o.API == nil && limits.Paused == "" {
		limits.Paused = notUsable
	}
	return limits
}

// newGate returns a gate that logs each new state of the org.
func (o *Orgs) newGate(id string, r reading) *gate.Gate {
	return gate.New(gate.Options{Settings: r.limits(), Changed: func(s gate.Status) {
		log := o.logger.Info
		if s.State != gate.Ready {
			log = o.logger.Warn
		}
		log("Org is "+string(s.State), zap.String("orgId", id), zap.String("reason", s.Reason), zap.Float64("pace", s.Pace))
	}})
}

// log logs how the settings of an org have changed.
func (o *Orgs) log(before, next *org) {
	settings := next.used.settings
	log := o.logger.With(zap.String("orgId", settings.OrgID))
	switch {
	case next.problem != nil && next.API == nil:
		log.Error("The settings of an org cannot be used, its calls wait", zap.Error(next.problem))
		return
	case next.problem != nil && (before.problem == nil || before.problem.Error() != next.problem.Error()):
		log.Error("The settings of an org were not taken, the last good ones are in use", zap.Error(next.problem))
	case next.problem == nil && before.problem != nil:
		log.Info("The settings of an org can be used again")
	}
	switch {
	case before.API == nil:
		log.Info("Org added", zap.String("apiBaseUrl", settings.APIBaseURL))
		return
	case before.used.login != next.used.login:
		log.Info("Org has a new login", zap.String("apiBaseUrl", settings.APIBaseURL))
	case before.used.forClient != next.used.forClient:
		log.Info("Org has new settings")
	}
	if before.used.limits() != next.used.limits() {
		log.Info("Org has new limits", zap.Int("callsInFlight", settings.CallsInFlight),
			zap.Float64("callsPerSecond", settings.CallsPerSecond), zap.Bool("paused", settings.Paused))
	}
}
