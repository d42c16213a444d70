// Package seal encrypts the payloads of workflows. The form of a sealed payload is
// described in docs/encryption.md.
package seal

import (
	"errors"
	"fmt"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/proto"
)

const (
	// Encoding is the metadata field "encoding" of a sealed payload.
	Encoding = "binary/encrypted"
	// brokenEncoding is that of a payload that failed authentication.
	brokenEncoding = "binary/broken"
	// keyIDField is the metadata field with the id of the key.
	keyIDField = "encryption-key-id"
)

// purpose is the associated data of every payload, so that a key that is used for
// something else too opens nothing here.
var purpose = []byte("sessionkeeper payload v1")

// Codec seals payloads with the primary key, and opens those of all its keys. Plain
// payloads pass through.
type Codec struct{ keys *Keys }

// NewCodec returns a codec for these keys.
func NewCodec(keys *Keys) *Codec { return &Codec{keys} }

// Encode implements converter.PayloadCodec.
func (c *Codec) Encode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	ring := c.keys.ring.Load()
	sealed := make([]*commonpb.Payload, len(payloads))
	for i, payload := range payloads {
		if isSealed(payload) {
			sealed[i] = payload
			continue
		}
		plain, err := proto.Marshal(payload)
		if err != nil {
			return nil, fmt.Errorf("seal a payload: %w", err)
		}
		text, err := ring.aead.Encrypt(plain, purpose)
		if err != nil {
			return nil, fmt.Errorf("seal a payload: %w", err)
		}
		sealed[i] = &commonpb.Payload{
			Metadata: map[string][]byte{converter.MetadataEncoding: []byte(Encoding), keyIDField: []byte(ring.primary)},
			Data:     text,
		}
	}
	return sealed, nil
}

// Decode implements converter.PayloadCodec. A payload whose key is missing is returned
// as it is: an error would make the SDK drop a signal, which is lost then. One that fails
// authentication is returned with an encoding that no converter reads.
func (c *Codec) Decode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	ring := c.keys.ring.Load()
	opened := make([]*commonpb.Payload, len(payloads))
	for i, payload := range payloads {
		switch {
		case !isSealed(payload):
			opened[i] = payload
		case !ring.ids[string(payload.GetMetadata()[keyIDField])]:
			c.keys.missed(string(payload.GetMetadata()[keyIDField]))
			opened[i] = payload
		default:
			opened[i] = ring.open(payload)
		}
	}
	return opened, nil
}

func (r *ring) open(payload *commonpb.Payload) *commonpb.Payload {
	plain, err := r.aead.Decrypt(payload.GetData(), purpose)
	opened := &commonpb.Payload{}
	if err != nil || proto.Unmarshal(plain, opened) != nil {
		return &commonpb.Payload{Metadata: map[string][]byte{converter.MetadataEncoding: []byte(brokenEncoding)}}
	}
	return opened
}

func isSealed(payload *commonpb.Payload) bool {
	return string(payload.GetMetadata()[converter.MetadataEncoding]) == Encoding
}

// ErrKeyMissing says that a payload cannot be read before its key is there.
var ErrKeyMissing = errors.New("the payload is sealed with a key that this process does not have")

// Check returns [ErrKeyMissing] for a payload that was decoded without its key.
func Check(raw converter.RawValue) error {
	if isSealed(raw.Payload()) {
		return ErrKeyMissing
	}
	return nil
}

// Read decodes a payload with the converter of a client. The error is [ErrKeyMissing] if its
// key is missing.
func Read(from converter.DataConverter, payload *commonpb.Payload, into any) error {
	var raw converter.RawValue
	if err := from.FromPayload(payload, &raw); err != nil {
		return err
	}
	if err := Check(raw); err != nil {
		return err
	}
	return from.FromPayload(raw.Payload(), into)
}

// Apply makes a client seal what it sends, and open what it receives. Texts and stacks
// of failures are sealed too; their types are not.
func Apply(options *client.Options, keys *Keys) {
	if keys == nil {
		return
	}
	options.DataConverter = converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), NewCodec(keys))
	options.FailureConverter = temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{
		DataConverter: options.DataConverter, EncodeCommonAttributes: true,
	})
}
