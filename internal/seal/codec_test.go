package seal_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/proto"

	"sessionkeeper/internal/seal"
)

// newKeys makes a file with a key.
func newKeys(t *testing.T) (path string, id uint32) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "keys.json")
	key, err := seal.NewFile(path)
	require.NoError(t, err)
	return path, key.ID
}

func codecOf(t *testing.T, path string) *seal.Codec {
	t.Helper()
	keys, err := seal.ReadKeys(path)
	require.NoError(t, err)
	return seal.NewCodec(keys)
}

func plain(t *testing.T, value any) *commonpb.Payload {
	t.Helper()
	payload, err := converter.GetDefaultDataConverter().ToPayload(value)
	require.NoError(t, err)
	return payload
}

func sealed(t *testing.T, c *seal.Codec, payload *commonpb.Payload) *commonpb.Payload {
	t.Helper()
	encoded, err := c.Encode([]*commonpb.Payload{payload})
	require.NoError(t, err)
	require.Len(t, encoded, 1)
	return encoded[0]
}

func opened(t *testing.T, c *seal.Codec, payload *commonpb.Payload) *commonpb.Payload {
	t.Helper()
	decoded, err := c.Decode([]*commonpb.Payload{payload})
	require.NoError(t, err)
	require.Len(t, decoded, 1)
	return decoded[0]
}

func TestPayloadIsSealedAndOpened(t *testing.T) {
	path, id := newKeys(t)
	c := codecOf(t, path)
	original := plain(t, map[string]string{"endUserClientId": "+15550100001"})
	first, second := sealed(t, c, original), sealed(t, c, original)
	require.NotContains(t, first.String()+string(first.GetData()), "15550100001")
	require.NotEqual(t, first.GetData(), second.GetData(), "each one has its own nonce")
	require.Equal(t, map[string][]byte{
		"encoding": []byte("binary/encrypted"), "encryption-key-id": []byte(strconv.FormatUint(uint64(id), 10)),
	}, first.GetMetadata())
	require.True(t, proto.Equal(original, opened(t, c, first)))
	require.True(t, proto.Equal(original, opened(t, c, original)), "a plain payload of before is still read")
	require.Same(t, first, sealed(t, c, first), "it is not sealed twice")
}

func TestRotation(t *testing.T) {
	path, first := newKeys(t)
	before := sealed(t, codecOf(t, path), plain(t, 1))

	second, err := seal.Add(path)
	require.NoError(t, err)
	added := codecOf(t, path)
	require.Equal(t, strconv.FormatUint(uint64(first), 10), string(sealed(t, added, plain(t, 2)).GetMetadata()["encryption-key-id"]),
		"the new key seals nothing before every process has it")

	require.NoError(t, seal.Promote(path, second))
	after := codecOf(t, path)
	next := sealed(t, after, plain(t, 2))
	require.Equal(t, strconv.FormatUint(uint64(second), 10), string(next.GetMetadata()["encryption-key-id"]))
	for _, c := range []*seal.Codec{added, after} {
		require.True(t, proto.Equal(plain(t, 1), opened(t, c, before)))
		require.True(t, proto.Equal(plain(t, 2), opened(t, c, next)))
	}
	keys, err := seal.List(path)
	require.NoError(t, err)
	require.Equal(t, []seal.KeyInfo{{ID: first}, {ID: second, Primary: true}}, keys)

	require.ErrorContains(t, seal.Remove(path, second), "primary")
	require.NoError(t, seal.Remove(path, first))
	require.Same(t, before, opened(t, codecOf(t, path), before), "its key is gone")
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	link := filepath.Join(t.TempDir(), "link.json")
	require.NoError(t, os.Symlink(path, link))
	third, err := seal.Add(link)
	require.NoError(t, err)
	info, err = os.Lstat(link)
	require.NoError(t, err)
	require.Equal(t, os.ModeSymlink, info.Mode().Type())
	keys, err = seal.List(path)
	require.NoError(t, err)
	require.Contains(t, keys, seal.KeyInfo{ID: third})
}

// A payload whose key is missing is passed on, so that whoever reads it can wait.
func TestMissingKeyIsNoError(t *testing.T) {
	path, _ := newKeys(t)
	other, _ := newKeys(t)
	foreign := sealed(t, codecOf(t, other), plain(t, 1))
	require.Same(t, foreign, opened(t, codecOf(t, path), foreign))
	require.ErrorIs(t, seal.Check(converter.NewRawValue(foreign)), seal.ErrKeyMissing)
	require.NoError(t, seal.Check(converter.NewRawValue(plain(t, 1))))
}

func TestChangedPayloadIsBroken(t *testing.T) {
	path, _ := newKeys(t)
	c := codecOf(t, path)
	good := sealed(t, c, plain(t, "text"))
	for name, change := range map[string]func([]byte) []byte{
		"a bit":     func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"cut off":   func(b []byte) []byte { return b[:len(b)-1] },
		"no data":   func([]byte) []byte { return nil },
		"other key": func(b []byte) []byte { b[1] ^= 1; return b },
	} {
		changed := proto.CloneOf(good)
		changed.Data = change(bytes.Clone(changed.GetData()))
		broken := opened(t, c, changed)
		var text string
		require.Error(t, converter.GetDefaultDataConverter().FromPayload(broken, &text), name)
		require.NoError(t, seal.Check(converter.NewRawValue(broken)), "no key will make it readable: %s", name)
	}
}

// Texts of failures are sealed, their types are not.
func TestFailuresAreSealed(t *testing.T) {
	path, _ := newKeys(t)
	keys, err := seal.ReadKeys(path)
	require.NoError(t, err)
	var options client.Options
	seal.Apply(&options, keys)
	failure := options.FailureConverter.ErrorToFailure(
		temporal.NewNonRetryableApplicationError("says something secret", "NO_ACCESS", errors.New("a secret cause"), "a secret detail"))
	text, err := proto.Marshal(failure)
	require.NoError(t, err)
	require.NotContains(t, string(text), "secret")
	require.Equal(t, "NO_ACCESS", failure.GetApplicationFailureInfo().GetType())
	var back *temporal.ApplicationError
	require.ErrorAs(t, options.FailureConverter.FailureToError(failure), &back)
	require.Equal(t, "says something secret", back.Message())
}

func TestInvalidKeys(t *testing.T) {
	path, _ := newKeys(t)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, wrong := range []string{"", "{}", "not JSON", "[1]", strings.Replace(string(text), "XAes", "Hmac", 1), string(text[:len(text)/2])} {
		_, err := seal.ParseKeys(wrong)
		require.ErrorContains(t, err, "want a keyset of")
		require.NotContains(t, err.Error(), "value")
	}
	_, err = seal.ReadKeys(filepath.Join(t.TempDir(), "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = seal.NewFile(path)
	require.ErrorIs(t, err, os.ErrExist, "it does not replace keys")
	parsed, err := seal.ParseKeys(string(text))
	require.NoError(t, err)
	payload := sealed(t, seal.NewCodec(parsed), plain(t, 1))
	require.True(t, proto.Equal(plain(t, 1), opened(t, codecOf(t, path), payload)))
}
