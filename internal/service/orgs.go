package service

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
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

	mu   sync.RWMutex
	byID map[string]*org
	// unusable are the files of the folder whose org cannot be used, and why.
	unusable map[string]error
	// applied is the fingerprint of the configuration that is in use.
	applied string
	// seen is the fingerprint of the configuration that was read last.
	seen string
	// stale says why the last change of the configuration was not taken, nil if it was.
	stale error
}

// org is one org with the settings that are in use.
type org struct {
	activities.Org
	settings Org
	// login is the fingerprint of what a call needs: everything but the limits and the
	// pause.
	login string
	// problem says why newer settings are not in use, or why there are none.
	problem error
}

// notUsable is why the calls of an org wait whose settings cannot be used.
const notUsable = "its settings cannot be used"

// NewOrgs returns the orgs of a configuration. It reads the secrets and sends no requests.
func NewOrgs(config Config, version string, logger *zap.Logger) *Orgs {
	o := &Orgs{version: version, logger: logger, byID: map[string]*org{}}
	o.apply(config)
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

// reloadInterval is how often the configuration is read. A change is taken when it was read
// twice, so that a file which is being written is not read halfway.
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

// reload reads the configuration, and takes it if it has changed and was the same the time
// before. It returns the ids of the orgs with a new login.
func (o *Orgs) reload(path string) (repaired []string) {
	config, err := LoadConfig(path)
	if err == nil && o.lostFolder(config) {
		err = fmt.Errorf("configuration %s: orgFolder has no file any more", path)
	}
	if err != nil {
		o.refuse(err)
		return nil
	}
	o.accept()
	next := config.fingerprint()
	if next == o.applied || next != o.seen {
		o.seen = next
		return nil
	}
	return o.apply(config)
}

// lostFolder reports whether all files of the folder are gone. A volume that is not mounted
// looks like that.
func (o *Orgs) lostFolder(next Config) bool {
	o.mu.RLock()
	defer o.mu.RUnlock()
	isOfFolder := func(s Org) bool { return s.source != "" }
	had := slices.ContainsFunc(slices.Collect(maps.Values(o.byID)), func(o *org) bool { return isOfFolder(o.settings) })
	return next.OrgFolder != "" && had && !slices.ContainsFunc(next.Orgs, isOfFolder) && len(next.unusable) == 0
}

// refuse keeps the orgs as they are, because the configuration cannot be read.
func (o *Orgs) refuse(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.stale == nil || o.stale.Error() != err.Error() {
		o.logger.Error("The configuration was not taken, the last good one is in use", zap.Error(err))
	}
	o.stale = err
}

func (o *Orgs) accept() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.stale != nil {
		o.logger.Info("The configuration can be read again")
	}
	o.stale = nil
}

// apply takes the orgs of a configuration. It returns the ids of those whose login is new.
func (o *Orgs) apply(config Config) (repaired []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.applied = config.fingerprint()
	o.report(config.unusable)
	configured := map[string]bool{}
	for _, settings := range config.Orgs {
		configured[settings.OrgID] = true
		if o.take(settings) {
			repaired = append(repaired, settings.OrgID)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(o.byID)) {
		if source := o.byID[id].settings.source; !configured[id] && config.unusable[source] == nil {
			delete(o.byID, id)
			o.logger.Info("Org removed", zap.String("orgId", id))
		}
	}
	return repaired
}

// report logs the files that cannot be used, and that can be used again.
func (o *Orgs) report(unusable map[string]error) {
	for _, file := range slices.Sorted(maps.Keys(unusable)) {
		if before := o.unusable[file]; before == nil || before.Error() != unusable[file].Error() {
			o.logger.Error("The settings of an org were not taken", zap.String("file", file), zap.Error(unusable[file]))
		}
	}
	o.unusable = unusable
}

// take uses the settings of an org. If they cannot be used, it keeps those that are in use;
// if there are none, the calls of the org wait. It reports whether the login is new.
func (o *Orgs) take(settings Org) (isNew bool) {
	id, log := settings.OrgID, o.logger.With(zap.String("orgId", settings.OrgID))
	found := o.byID[id]
	// First, because the secret may change meanwhile. Then the next reading sees a new login.
	login := settings.login()
	client, err := settings.client(o.version)
	switch {
	case err != nil && found != nil:
		if found.problem == nil || found.problem.Error() != err.Error() {
			log.Error("The settings of an org were not taken, the last good ones are in use", zap.Error(err))
		}
		found.problem = err
		return false
	case err != nil:
		log.Error("The settings of an org cannot be used, its calls wait", zap.Error(err))
		o.byID[id] = &org{settings: settings, problem: err, Org: activities.Org{
			Gate: o.newGate(id, gate.Settings{Paused: notUsable}),
		}}
		return false
	}
	if found == nil {
		o.byID[id] = &org{settings: settings, login: login, Org: activities.Org{
			API: client, Gate: o.newGate(id, settings.gate()),
		}}
		log.Info("Org added", zap.String("apiBaseUrl", settings.APIBaseURL))
		return true
	}
	isNew = found.login != login
	if isNew {
		found.API = client
		log.Info("Org has a new login", zap.String("apiBaseUrl", settings.APIBaseURL))
	}
	found.Gate.Change(settings.gate())
	if found.problem != nil {
		log.Info("The settings of an org can be used again")
	}
	if found.settings.gate() != settings.gate() {
		log.Info("Org has new limits", zap.Int("callsInFlight", settings.CallsInFlight),
			zap.Float64("callsPerSecond", settings.CallsPerSecond), zap.Bool("paused", settings.Paused))
	}
	found.settings, found.login, found.problem = settings, login, nil
	return isNew
}

// newGate returns a gate that logs each new state of the org.
func (o *Orgs) newGate(id string, settings gate.Settings) *gate.Gate {
	return gate.New(gate.Options{Settings: settings, Changed: func(s gate.Status) {
		log := o.logger.Info
		if s.State != gate.Ready {
			log = o.logger.Warn
		}
		log("Org is "+string(s.State), zap.String("orgId", id), zap.String("reason", s.Reason), zap.Float64("pace", s.Pace))
	}})
}

// gate returns the settings of the org's gate.
func (o Org) gate() gate.Settings {
	s := gate.Settings{InFlight: o.CallsInFlight, PerSecond: o.CallsPerSecond}
	if o.Paused {
		s.Paused = o.PauseReason
	}
	return s
}

// login returns the fingerprint of what a call needs.
func (o Org) login() string {
	o.CallsInFlight, o.CallsPerSecond, o.Paused, o.PauseReason = 0, 0, false, ""
	return fingerprintOf(o, o.secret())
}

// secret returns the secret of the org, or why it cannot be read.
func (o Org) secret() string {
	secret, err := "", error(nil)
	switch {
	case o.JWTBearer != nil:
		secret, err = o.JWTBearer.Key.read()
	case o.ClientCredentials != nil:
		secret, err = o.ClientCredentials.Secret.read()
	}
	if err != nil {
		return "unreadable: " + err.Error()
	}
	return secret
}

// fingerprint returns the fingerprint of all that concerns the orgs.
func (c Config) fingerprint() string {
	var all []any
	for _, org := range c.Orgs {
		all = append(all, org, org.source, org.secret(), fmt.Sprint(org.problem))
	}
	for _, file := range slices.Sorted(maps.Keys(c.unusable)) {
		all = append(all, file, c.unusable[file].Error())
	}
	return fingerprintOf(all...)
}

// fingerprintOf returns a hash of values that JSON can encode.
func fingerprintOf(values ...any) string {
	hash := sha256.New()
	for _, value := range values {
		text, err := json.Marshal(value)
		_, _ = fmt.Fprintf(hash, "%d %s %v\n", len(text), text, err)
	}
	return hex.EncodeToString(hash.Sum(nil)[:16])
}
