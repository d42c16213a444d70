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

// validator checks a configuration that could be read. It finds the line of each
// problem.
type validator struct {
	root     *yaml.Node
	problems *problems
}

// path is the path of a setting, such as "orgs", "0", "orgId".
type path []string

func (p path) child(steps ...string) path { return append(slices.Clip(p), steps...) }

// String formats the path like orgs[0].orgId.
func (p path) String() string {
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

func (v validator) add(p path, format string, args ...any) {
	line := lineOf(v.root, p)
	if v.problems.unreadable(line) {
		return
	}
	*v.problems = append(*v.problems, problem{line: line, text: p.String() + ": " + fmt.Sprintf(format, args...)})
}

func (v validator) addErr(p path, err error) {
	if err != nil {
		v.add(p, "%v", err)
	}
}

func (v validator) config(config Config) {
	if config.CachedConversations < 0 {
		v.add(path{"cachedConversations"}, "must not be negative")
	}
	if config.CallsPerSecond < 0 {
		v.add(path{"callsPerSecond"}, "must not be negative")
	}
	if config.StopTimeout < 0 {
		v.add(path{"stopTimeout"}, "must not be negative")
	}
	if d := config.Deployment; d != nil {
		v.deployment(path{"deployment"}, *d)
	}
	if len(config.Orgs) == 0 {
		v.add(path{"orgs"}, "want at least one org")
	}
	seen := map[string]int{}
	for i, org := range config.Orgs {
		p := path{"orgs", strconv.Itoa(i)}
		if first, duplicate := seen[org.OrgID]; duplicate {
			v.add(p.child("orgId"), "org %s is already configured at orgs[%d]", org.OrgID, first)
		} else if org.OrgID != "" {
			seen[org.OrgID] = i
		}
		v.org(p, org)
	}
}

func (v validator) deployment(p path, d Deployment) {
	v.required(p.child("name"), d.Name)
	if strings.ContainsAny(d.Name, ".:") {
		v.add(p.child("name"), `must not contain "." or ":"`)
	}
}

func (v validator) org(p path, org Org) {
	if err := (conversation.Identity{OrgID: org.OrgID, ConversationIdentifier: "any"}).ValidateKey(); err != nil {
		v.add(p.child("orgId"), "want the org's 15-character id, such as 00D000000000001")
	}
	v.url(p.child("apiBaseUrl"), org.APIBaseURL, org.PlainHTTP)
	v.inRange(p.child("callTimeout"), org.CallTimeout, time.Millisecond, 10*time.Second)
	v.inRange(p.child("tokenLifetime"), org.TokenLifetime, time.Second, 24*time.Hour)
	switch {
	case org.JWTBearer != nil && org.ClientCredentials != nil:
		v.add(p.child("clientCredentials"), "want either jwtBearer or clientCredentials, not both")
	case org.JWTBearer != nil:
		v.jwtBearer(p.child("jwtBearer"), *org.JWTBearer, org.PlainHTTP)
	case org.ClientCredentials != nil:
		v.clientCredentials(p.child("clientCredentials"), *org.ClientCredentials, org.PlainHTTP)
	default:
		v.add(p, "has no credentials: want jwtBearer or clientCredentials")
	}
}

func (v validator) jwtBearer(p path, j JWTBearer, plainHTTP bool) {
	v.required(p.child("consumerKey"), j.ConsumerKey)
	v.required(p.child("username"), j.Username)
	if j.Audience != "" {
		v.url(p.child("audience"), j.Audience, plainHTTP)
	}
	if j.TokenURL != "" {
		v.url(p.child("tokenUrl"), j.TokenURL, plainHTTP)
	}
	key, err := j.Key.read()
	if err == nil {
		err = checkKey(key)
		if err != nil {
			err = fmt.Errorf("%s %w", j.Key.source(), err)
		}
	}
	v.addErr(p.child("key"), err)
}

func (v validator) clientCredentials(p path, cc ClientCredentials, plainHTTP bool) {
	v.required(p.child("consumerKey"), cc.ConsumerKey)
	v.url(p.child("tokenUrl"), cc.TokenURL, plainHTTP)
	_, err := cc.Secret.read()
	v.addErr(p.child("secret"), err)
}

func (v validator) required(p path, value string) {
	if value == "" {
		v.add(p, "is missing")
	}
}

func (v validator) url(p path, value string, plainHTTP bool) {
	if value == "" {
		v.add(p, "is missing")
		return
	}
	v.addErr(p, checkURL(value, plainHTTP))
}

func (v validator) inRange(p path, value, minimum, maximum time.Duration) {
	if value < minimum || value > maximum {
		v.add(p, "must be between %s and %s", minimum, maximum)
	}
}

// checkURL checks one URL by the rules of [interaction.NewClient]. The settings are
// checked one by one, so that each problem has its line.
func checkURL(value string, plainHTTP bool) error {
	noTokens := struct{ interaction.TokenSource }{}
	_, err := interaction.NewClient(value, noTokens, interaction.ClientOptions{PlainHTTP: plainHTTP})
	return withoutPrefix(err, "base URL ")
}

// checkKey checks a private key by the rules of [interaction.NewJWTBearer].
func checkKey(pem string) error {
	_, err := interaction.NewJWTBearer(interaction.JWTBearerConfig{
		ConsumerKey: "any", Username: "any", PrivateKey: []byte(pem),
	})
	return withoutPrefix(err, "PrivateKey ")
}

// withoutPrefix removes the name of the setting and the text before it: the path
// names the setting already.
func withoutPrefix(err error, name string) error {
	if err == nil {
		return nil
	}
	if _, rest, ok := strings.Cut(err.Error(), name); ok {
		return errors.New(rest)
	}
	return err
}

// lineOf returns the line of a setting. If the setting is absent, it returns the
// line of the nearest setting above it.
func lineOf(root *yaml.Node, p path) int {
	line, node := 1, root
	if root.Kind == yaml.DocumentNode {
		node = root.Content[0]
		line = node.Line
	}
	for _, step := range p {
		child, childLine := childOf(node, step)
		if child == nil {
			break
		}
		node, line = child, childLine
	}
	return line
}

// childOf returns a child of a node, and the line of its name.
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
