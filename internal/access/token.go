// Package access decides who may use a server: bearer tokens with names and orgs, TLS,
// and the addresses on which a server listens.
package access

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/strictyaml"
)

// AllOrgs means every org in [Token].Orgs.
const AllOrgs = "all"

// Token is what an operator says of a bearer token. The token itself is not stored.
type Token struct {
	// Name is shown in logs: at most 64 letters, digits and "._-".
	Name string `yaml:"name"`
	// Orgs are the 15-character ids of the orgs for which the token may speak, or
	// only [AllOrgs].
	Orgs []string `yaml:"orgs"`
	// SHA256 is the SHA-256 of the token, in hexadecimal digits.
	SHA256 string `yaml:"sha256"`
	// Quota is what the token may use. A field that is 0 takes the server's.
	Quota Quota `yaml:"quota"`
}

type hash [sha256.Size]byte

var tokenName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// SpeaksFor reports whether the token may send events of an org, and read its
// conversations.
func (t *Token) SpeaksFor(orgID string) bool {
	return slices.Contains(t.Orgs, orgID) || slices.Contains(t.Orgs, AllOrgs)
}

// NewToken returns a new random token, and its line in a file of tokens.
func NewToken(name string, orgs []string) (token, line string, err error) {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // it never fails: see package crypto/rand
	token = "skt_" + base64.RawURLEncoding.EncodeToString(random)
	sum := sha256.Sum256([]byte(token))
	line = fmt.Sprintf(`- {name: %q, orgs: [%s], sha256: "%x"}`, name, strings.Join(orgs, ", "), sum)
	_, err = ParseTokens(line)
	return token, line, err
}

// ParseTokens reads a YAML list with one [Token] per item, such as:
//
//   - {name: router, orgs: [00D000000000001], sha256: "…"}
//
// [NewToken] makes such a line. Without an item, no token is accepted. The errors
// have the line of a problem, and never repeat what may be a token.
func ParseTokens(text string) (*Tokens, error) {
	t := &Tokens{byHash: map[hash]*Token{}}
	const form = `want a list of tokens; "starter token new" makes one`
	var list []*Token
	document, err := strictyaml.Decode([]byte(text), &list, map[string]string{
		"[]*access.Token": form, "access.Token": form, "[]string": "want a list, such as [00D000000000001] or [all]",
	})
	if errors.Is(err, strictyaml.ErrEmpty) {
		return t, nil
	}
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for i, token := range list {
		p := strictyaml.Path{strconv.Itoa(i)}
		if token == nil {
			document.Add(p, form)
			continue
		}
		document.AddErr(p.Child("name"), checkName(token.Name, names))
		document.AddErr(p.Child("orgs"), checkOrgs(token.Orgs))
		document.AddErr(p.Child("quota"), token.Quota.check())
		h, err := parseHash(token.SHA256)
		if _, exists := t.byHash[h]; exists && err == nil {
			err = errors.New("is the same as that of another token")
		}
		document.AddErr(p.Child("sha256"), err)
		t.byHash[h] = token
	}
	return t, document.Err()
}

func checkName(name string, others map[string]bool) error {
	switch {
	case !tokenName.MatchString(name):
		return errors.New("want at most 64 letters, digits, dots, underscores and hyphens")
	case others[name]:
		return errors.New("another token has this name")
	}
	others[name] = true
	return nil
}

func checkOrgs(orgs []string) error {
	if len(orgs) == 0 {
		return errors.New("want the ids of orgs, or [all]")
	}
	for _, id := range orgs {
		err := (conversation.Identity{OrgID: id, ConversationIdentifier: "any"}).ValidateKey()
		switch {
		case id == AllOrgs && len(orgs) > 1:
			return errors.New("want either ids of orgs or all")
		case id != AllOrgs && err != nil:
			return errors.New("want 15-character ids of orgs, such as 00D000000000001, or [all]")
		}
	}
	return nil
}

func parseHash(text string) (h hash, err error) {
	decoded, err := hex.DecodeString(text)
	if err != nil || len(decoded) != len(h) {
		return h, errors.New("want the SHA-256 of a token: 64 hexadecimal digits, not the token itself")
	}
	return hash(decoded), nil
}
