package service

import (
	"fmt"
	"net/url"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"

	"sessionkeeper/conversation"
)

// check finds what is wrong in a configuration, and on which line.
type check struct {
	root     *yaml.Node
	problems *problems
}

// wrong reports a problem at a path such as "orgs", "0", "orgId".
func (c check) wrong(path []string, format string, args ...any) {
	name := ""
	for _, step := range path {
		if _, err := strconv.Atoi(step); err == nil {
			name += "[" + step + "]"
			continue
		}
		if name != "" {
			name += "."
		}
		name += step
	}
	*c.problems = append(*c.problems, problem{
		line: lineOf(c.root, path),
		text: name + ": " + fmt.Sprintf(format, args...),
	})
}

func (c check) config(config Config) {
	if config.CachedConversations < 0 {
		c.wrong([]string{"cachedConversations"}, "must not be negative")
	}
	if config.CallsPerSecond < 0 {
		c.wrong([]string{"callsPerSecond"}, "must not be negative")
	}
	if config.StopTimeout < 0 {
		c.wrong([]string{"stopTimeout"}, "must not be negative")
	}
	if len(config.Orgs) == 0 {
		c.wrong([]string{"orgs"}, "want at least one org")
	}
	seen := map[string]int{}
	for i, org := range config.Orgs {
		path := []string{"orgs", strconv.Itoa(i)}
		if first, twice := seen[org.OrgID]; twice && org.OrgID != "" {
			c.wrong(append(path, "orgId"), "org %s is configured at orgs[%d] already", org.OrgID, first)
		}
		seen[org.OrgID] = i
		c.org(path, org)
	}
}

func (c check) org(path []string, org Org) {
	at := func(steps ...string) []string { return append(path[:len(path):len(path)], steps...) }
	if err := (conversation.Identity{OrgID: org.OrgID, ConversationIdentifier: "any"}).ValidateKey(); err != nil {
		c.wrong(at("orgId"), "want the org's 15-character id, such as 00D000000000001")
	}
	c.url(at("apiBaseUrl"), org.APIBaseURL, org.PlainHTTP)
	c.between(at("callTimeout"), org.CallTimeout, time.Millisecond, 20*time.Second)
	c.between(at("tokenLifetime"), org.TokenLifetime, time.Second, 24*time.Hour)
	switch {
	case org.JWTBearer != nil && org.ClientCredentials != nil:
		c.wrong(at("clientCredentials"), "want either jwtBearer or clientCredentials, not both")
	case org.JWTBearer != nil:
		j := org.JWTBearer
		c.present(at("jwtBearer", "consumerKey"), j.ConsumerKey)
		c.present(at("jwtBearer", "username"), j.Username)
		c.optionalURL(at("jwtBearer", "audience"), j.Audience, org.PlainHTTP)
		c.optionalURL(at("jwtBearer", "tokenUrl"), j.TokenURL, org.PlainHTTP)
		c.secret(at("jwtBearer", "key"), j.Key)
	case org.ClientCredentials != nil:
		cc := org.ClientCredentials
		c.present(at("clientCredentials", "consumerKey"), cc.ConsumerKey)
		c.url(at("clientCredentials", "tokenUrl"), cc.TokenURL, org.PlainHTTP)
		c.secret(at("clientCredentials", "secret"), cc.Secret)
	default:
		c.wrong(at("jwtBearer"), "is missing: want jwtBearer or clientCredentials")
	}
}

func (c check) present(path []string, value string) {
	if value == "" {
		c.wrong(path, "is missing")
	}
}

func (c check) optionalURL(path []string, value string, plainHTTP bool) {
	if value != "" {
		c.url(path, value, plainHTTP)
	}
}

func (c check) url(path []string, value string, plainHTTP bool) {
	parsed, err := url.Parse(value)
	switch {
	case value == "":
		c.wrong(path, "is missing")
	case err != nil || parsed.Host == "" || parsed.Scheme != "https" && parsed.Scheme != "http":
		c.wrong(path, "want a URL such as https://example.my.salesforce-scrt.com")
	case parsed.Scheme == "http" && !plainHTTP && !loopback(parsed.Hostname()):
		c.wrong(path, "want https: tokens would travel in the clear")
	}
}

func (c check) between(path []string, value, least, most time.Duration) {
	if value < least || value > most {
		c.wrong(path, "must be between %s and %s", least, most)
	}
}

func (c check) secret(path []string, s Secret) {
	switch {
	case s.File == "" && s.Env == "":
		c.wrong(path, "want file or env: where the secret is")
	case s.File != "" && s.Env != "":
		c.wrong(path, "want either file or env, not both")
	default:
		if _, err := s.read(); err != nil {
			c.wrong(path, "%v", err)
		}
	}
}

func loopback(host string) bool { return host == "localhost" || host == "127.0.0.1" || host == "::1" }

// lineOf is the line of the node at a path, or of the nearest one above it.
func lineOf(node *yaml.Node, path []string) int {
	line := max(node.Line, 1)
	if node.Kind == yaml.DocumentNode && len(node.Content) > 0 {
		return lineOf(node.Content[0], path)
	}
	if len(path) == 0 {
		return line
	}
	switch node.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == path[0] {
				return max(node.Content[i].Line, lineOf(node.Content[i+1], path[1:]))
			}
		}
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(path[0]); err == nil && i < len(node.Content) {
			return lineOf(node.Content[i], path[1:])
		}
	}
	return line
}
