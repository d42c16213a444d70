package service

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/interaction"
)

// check finds what is wrong in a configuration, and on which line.
type check struct {
	root     *yaml.Node
	problems *problems
}

// place is where a setting is, such as "orgs", "0", "orgId".
type place []string

func (p place) at(steps ...string) place { return append(slices.Clip(p), steps...) }

// String returns it as an operator would write it: orgs[0].orgId.
func (p place) String() string {
	var text strings.Builder
	for i, step := range p {
		switch _, err := strconv.Atoi(step); {
		case err == nil:
			text.WriteString("[" + step + "]")
		case i > 0:
			text.WriteString("." + step)
		default:
			text.WriteString(step)
		}
	}
	return text.String()
}

func (c check) wrong(where place, format string, args ...any) {
	line := lineOf(c.root, where)
	if c.problems.unread(line) {
		return
	}
	*c.problems = append(*c.problems, problem{line: line, text: where.String() + ": " + fmt.Sprintf(format, args...)})
}

func (c check) wrongIf(err error, where place) {
	if err != nil {
		c.wrong(where, "%v", err)
	}
}

func (c check) config(config Config) {
	if config.CachedConversations < 0 {
		c.wrong(place{"cachedConversations"}, "must not be negative")
	}
	if config.CallsPerSecond < 0 {
		c.wrong(place{"callsPerSecond"}, "must not be negative")
	}
	if config.StopTimeout < 0 {
		c.wrong(place{"stopTimeout"}, "must not be negative")
	}
	if d := config.Deployment; d != nil {
		c.deployment(place{"deployment"}, *d)
	}
	if len(config.Orgs) == 0 {
		c.wrong(place{"orgs"}, "want at least one org")
	}
	seen := map[string]int{}
	for i, org := range config.Orgs {
		where := place{"orgs", strconv.Itoa(i)}
		if first, twice := seen[org.OrgID]; twice {
			c.wrong(where.at("orgId"), "org %s is configured at orgs[%d] already", org.OrgID, first)
		} else if org.OrgID != "" {
			seen[org.OrgID] = i
		}
		c.org(where, org)
	}
}

func (c check) deployment(where place, d Deployment) {
	c.present(where.at("name"), d.Name)
	if strings.ContainsAny(d.Name, ".:") {
		c.wrong(where.at("name"), `must not contain "." or ":"`)
	}
}

func (c check) org(where place, org Org) {
	if err := (conversation.Identity{OrgID: org.OrgID, ConversationIdentifier: "any"}).ValidateKey(); err != nil {
		c.wrong(where.at("orgId"), "want the org's 15-character id, such as 00D000000000001")
	}
	c.url(where.at("apiBaseUrl"), org.APIBaseURL, org.PlainHTTP)
	c.between(where.at("callTimeout"), org.CallTimeout, time.Millisecond, 10*time.Second)
	c.between(where.at("tokenLifetime"), org.TokenLifetime, time.Second, 24*time.Hour)
	switch {
	case org.JWTBearer != nil && org.ClientCredentials != nil:
		c.wrong(where.at("clientCredentials"), "want either jwtBearer or clientCredentials, not both")
	case org.JWTBearer != nil:
		c.jwtBearer(where.at("jwtBearer"), *org.JWTBearer, org.PlainHTTP)
	case org.ClientCredentials != nil:
		c.clientCredentials(where.at("clientCredentials"), *org.ClientCredentials, org.PlainHTTP)
	default:
		c.wrong(where, "has no credentials: want jwtBearer or clientCredentials")
	}
}

func (c check) jwtBearer(where place, j JWTBearer, plainHTTP bool) {
	c.present(where.at("consumerKey"), j.ConsumerKey)
	c.present(where.at("username"), j.Username)
	if j.Audience != "" {
		c.url(where.at("audience"), j.Audience, plainHTTP)
	}
	if j.TokenURL != "" {
		c.url(where.at("tokenUrl"), j.TokenURL, plainHTTP)
	}
	key, err := j.Key.read()
	if err == nil {
		err = keyProblem(key)
	}
	c.wrongIf(err, where.at("key"))
}

func (c check) clientCredentials(where place, cc ClientCredentials, plainHTTP bool) {
	c.present(where.at("consumerKey"), cc.ConsumerKey)
	c.url(where.at("tokenUrl"), cc.TokenURL, plainHTTP)
	_, err := cc.Secret.read()
	c.wrongIf(err, where.at("secret"))
}

func (c check) present(where place, value string) {
	if value == "" {
		c.wrong(where, "is missing")
	}
}

func (c check) url(where place, value string, plainHTTP bool) {
	if value == "" {
		c.wrong(where, "is missing")
		return
	}
	c.wrongIf(urlProblem(value, plainHTTP), where)
}

func (c check) between(where place, value, least, most time.Duration) {
	if value < least || value > most {
		c.wrong(where, "must be between %s and %s", least, most)
	}
}

// What a URL or a key must be is for the client to say. These ask it about one
// setting at a time, so that each problem gets its line.

func urlProblem(value string, plainHTTP bool) error {
	_, err := interaction.NewClient(value, struct{ interaction.TokenSource }{}, interaction.ClientOptions{PlainHTTP: plainHTTP})
	return withoutPrefix(err, "base URL ")
}

func keyProblem(pem string) error {
	_, err := interaction.NewJWTBearer(interaction.JWTBearerConfig{ConsumerKey: "any", Username: "any", PrivateKey: []byte(pem)})
	return withoutPrefix(err, "PrivateKey ")
}

func withoutPrefix(err error, name string) error {
	if err == nil {
		return nil
	}
	if _, rest, ok := strings.Cut(err.Error(), name); ok {
		return errors.New(rest)
	}
	return err
}

// lineOf is the line of the setting at a place, or of the nearest one above it.
func lineOf(root *yaml.Node, where place) int {
	line, node := 1, root
	if root.Kind == yaml.DocumentNode {
		node = root.Content[0]
		line = node.Line
	}
	for _, step := range where {
		found, at := childOf(node, step)
		if found == nil {
			break
		}
		node, line = found, at
	}
	return line
}

// childOf returns a node's child and the line on which its name stands.
func childOf(node *yaml.Node, step string) (*yaml.Node, int) {
	switch node.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == step {
				return node.Content[i+1], node.Content[i].Line
			}
		}
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(step); err == nil && i < len(node.Content) {
			return node.Content[i], node.Content[i].Line
		}
	}
	return nil, 0
}
