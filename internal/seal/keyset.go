package seal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"

	"sessionkeeper/internal/secretfile"
)

// KeyInfo is what is shown of a key.
type KeyInfo struct {
	ID      uint32
	Primary bool
}

// template is the cipher of new keys: XAES-256-GCM. Its nonce is so long that any number
// of payloads may be sealed with one key.
func template() *tinkpb.KeyTemplate { return aead.XAES256GCM192BitNonceKeyTemplate() }

// NewFile makes a file with one new key, which only this user can read. The file must not
// exist.
func NewFile(path string) (KeyInfo, error) {
	manager := keyset.NewManager()
	id, err := manager.Add(template())
	if err == nil {
		err = manager.SetPrimary(id)
	}
	if err != nil {
		return KeyInfo{}, fmt.Errorf("make a key: %w", err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // the operator names it
	if err != nil {
		return KeyInfo{}, fmt.Errorf("make a file of keys: %w", err)
	}
	text, err := textOf(manager)
	if err == nil {
		_, err = file.Write(text)
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return KeyInfo{}, fmt.Errorf("make a file of keys: %w", err)
	}
	return KeyInfo{ID: id, Primary: true}, nil
}

// List returns the keys of a file.
func List(path string) ([]KeyInfo, error) {
	handle, err := readHandle(path)
	if err != nil {
		return nil, err
	}
	var keys []KeyInfo
	info := handle.KeysetInfo()
	for _, key := range info.GetKeyInfo() {
		keys = append(keys, KeyInfo{ID: key.GetKeyId(), Primary: key.GetKeyId() == info.GetPrimaryKeyId()})
	}
	return keys, nil
}

// Add adds a new key to a file. It opens payloads, and seals none before [Promote]: by
// then every process must have it.
func Add(path string) (id uint32, err error) {
	err = change(path, func(manager *keyset.Manager) error {
		id, err = manager.Add(template())
		return err
	})
	return id, err
}

// Promote makes a key of a file the one that seals payloads.
func Promote(path string, id uint32) error {
	return change(path, func(manager *keyset.Manager) error { return manager.SetPrimary(id) })
}

// Remove removes a key from a file. Payloads that it has sealed cannot be read any more.
func Remove(path string, id uint32) error {
	return change(path, func(manager *keyset.Manager) error { return manager.Delete(id) })
}

// change replaces a file by a changed one.
func change(path string, apply func(*keyset.Manager) error) error {
	handle, err := readHandle(path)
	if err != nil {
		return err
	}
	manager := keyset.NewManagerFromHandle(handle)
	if err := apply(manager); err != nil {
		return fmt.Errorf("change the keys in %s: %w", path, err)
	}
	text, err := textOf(manager)
	if err != nil {
		return fmt.Errorf("change the keys in %s: %w", path, err)
	}
	return replace(path, text)
}

// replace writes a file and puts it in the place of another one. A process that reads it
// gets the old or the new content. Permissions stay as they are, and a symbolic link stays
// one.
func replace(path string, text []byte) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("replace the keys: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("replace the keys: %w", err)
	}
	next, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("replace the keys: %w", err)
	}
	defer os.Remove(next.Name())
	_, err = next.Write(text)
	err = errors.Join(err, next.Chmod(info.Mode().Perm()), next.Close())
	if err == nil {
		err = os.Rename(next.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("replace the keys: %w", err)
	}
	return nil
}

func readHandle(path string) (*keyset.Handle, error) {
	text, err := secretfile.Read(path)
	if err != nil {
		return nil, fmt.Errorf("read the keys: %w", err)
	}
	if _, err := parse(text); err != nil {
		return nil, fmt.Errorf("keys in %s: %w", path, err)
	}
	return insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(text)))
}

func textOf(manager *keyset.Manager) ([]byte, error) {
	handle, err := manager.Handle()
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	err = insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&text))
	return append(text.Bytes(), '\n'), err
}
