package seal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"github.com/tink-crypto/tink-go/v2/tink"

	"sessionkeeper/internal/secretfile"
)

const (
	// pollInterval is how often the file is read again.
	pollInterval = 5 * time.Second
	// maxMissing is how many ids of missing keys are remembered, to log each once a minute.
	maxMissing = 100
)

// Keys are the keys that seal and open payloads: a keyset of Tink with AEAD keys, in
// JSON. It is not encrypted, so its file is a secret.
type Keys struct {
	path string
	ring atomic.Pointer[ring]

	mu      sync.Mutex
	loaded  [sha256.Size]byte
	logger  *slog.Logger
	missing map[string]time.Time
}

// ring is one version of the keyset.
type ring struct {
	aead    tink.AEAD
	primary string
	ids     map[string]bool
}

// ReadKeys reads the keys from a file. [Keys.Watch] reads it again when it changes.
func ReadKeys(path string) (*Keys, error) {
	k := &Keys{path: path, missing: map[string]time.Time{}, logger: slog.New(slog.DiscardHandler)}
	if _, err := k.reload(); err != nil {
		return nil, err
	}
	return k, nil
}

// ParseKeys reads the keys from a text.
func ParseKeys(text string) (*Keys, error) {
	k := &Keys{missing: map[string]time.Time{}, logger: slog.New(slog.DiscardHandler)}
	r, err := parse([]byte(text))
	if err != nil {
		return nil, err
	}
	k.ring.Store(r)
	return k, nil
}

// parse reads a keyset. Its errors never repeat a key.
func parse(text []byte) (*ring, error) {
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(text)))
	if err != nil {
		return nil, errors.New(`want a keyset of Tink as JSON; "starter key new" makes one`)
	}
	cipher, err := aead.New(handle)
	if err != nil {
		return nil, errors.New("want a keyset of AEAD keys, of which one is primary")
	}
	r := &ring{aead: cipher, ids: map[string]bool{}}
	for _, info := range handle.KeysetInfo().GetKeyInfo() {
		r.ids[idOf(info.GetKeyId())] = info.GetStatus() == tinkpb.KeyStatusType_ENABLED
	}
	r.primary = idOf(handle.KeysetInfo().GetPrimaryKeyId())
	return r, nil
}

func idOf(id uint32) string { return strconv.FormatUint(uint64(id), 10) }

// Watch reads the file again every five seconds until ctx ends. While the file is
// invalid, the keys stay as they are. Keys that come from no file, and nil, are not
// watched. The logger also gets a line when a payload's key is missing.
func (k *Keys) Watch(ctx context.Context, logger *slog.Logger) {
	if k == nil {
		return
	}
	k.mu.Lock()
	k.logger = logger
	k.mu.Unlock()
	if k.path == "" {
		return
	}
	if exposure := secretfile.Exposure(k.path); exposure != "" {
		logger.Warn("The file of the keys "+exposure, "file", k.path)
	}
	go func() {
		ticker := time.NewTicker(pollInterval)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			switch changed, err := k.reload(); {
			case !changed:
			case err != nil:
				logger.Error("The keys were not replaced", "error", err)
			default:
				r := k.ring.Load()
				logger.Info("The keys were replaced", "keys", len(r.ids), "primary", r.primary)
			}
		}
	}()
}

// reload reads the file and reports whether it has changed.
func (k *Keys) reload() (changed bool, err error) {
	text, err := secretfile.Read(k.path)
	loaded := sha256.Sum256(fmt.Append(text, err))
	k.mu.Lock()
	changed = loaded != k.loaded
	k.loaded = loaded
	k.mu.Unlock()
	if err != nil {
		return changed, fmt.Errorf("read the keys: %w", err)
	}
	if !changed {
		return false, nil
	}
	r, err := parse(text)
	if err != nil {
		return true, fmt.Errorf("keys in %s: %w", k.path, err)
	}
	k.ring.Store(r)
	return true, nil
}

// missed logs that a key is missing, once a minute for each key.
func (k *Keys) missed(id string) {
	id = strings.ToValidUTF8(id[:min(len(id), 20)], "")
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	if now.Sub(k.missing[id]) < time.Minute {
		return
	}
	if len(k.missing) >= maxMissing {
		clear(k.missing)
	}
	k.missing[id] = now
	k.logger.Error("A payload is sealed with a key that this process does not have: add the key", "keyId", id)
}
