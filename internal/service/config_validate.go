package service

import (
	"errors"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/interaction"
	"sessionkeeper/internal/strictyaml"
)

// validator checks a configuration that could be read.
type validator struct {
	*strictyaml.Document
	allowHosts []string
	// secrets: secrets are read and checked.
	secrets bool
}

type path = strictyaml.Path

func (v validator) config(config Config) {
	if config.CachedConversations < 0 {
		v.Add(path{"cachedConversations"}, "must not be negative")
	}
	v.slots(path{"callSlots"}, config.CallSlots)
	v.slots(path{"workflowTaskSlots"}, config.WorkflowTaskSlots)
	v.slots(path{"maxPollers"}, config.MaxPollers)
	if config.StopTimeout < 0 {
		v.Add(path{"stopTimeout"}, "must not be negative")
	}
	if d := config.Deployment; d != nil {
		v.deployment(path{"deployment"}, *d)
	}
	for i, host := range config.AllowHosts {
		if !hostPattern.MatchString(host) {
			v.Add(path{"allowHosts", strconv.Itoa(i)}, `want a host name, such as sandbox or *.my.example.com`)
		}
	}
	if len(config.Orgs) == 0 && config.OrgFolder == "" {
		v.Add(path{"orgs"}, "want at least one org, or orgFolder")
	}
}

// orgs checks the orgs of the configuration file.
func (v validator) orgs(orgs []Org) {
	seen := map[string]int{}
	for i, org := range orgs {
		p := path{"orgs", strconv.Itoa(i)}
		if first, duplicate := seen[org.OrgID]; duplicate {
			v.Add(p.Child("orgId"), "org %s is already configured at orgs[%d]", org.OrgID, first)
		} else if org.OrgID != "" {
			seen[org.OrgID] = i
		}
		v.org(p, org)
	}
}

// slots checks a number that the SDK needs to be 2 at least.
func (v validator) slots(p path, n int) {
	if n < 2 || n > 100_000 {
		v.Add(p, "must be between 2 and 100000")
	}
}

func (v validator) deployment(p path, d Deployment) {
	v.required(p.Child("name"), d.Name)
	if strings.ContainsAny(d.Name, reservedByTemporal) {
		v.Add(p.Child("name"), `must not contain "." or ":"`)
	}
}

func (v validator) org(p path, org Org) {
	if !isOrgID(org.OrgID) {
		v.Add(p.Child("orgId"), "want the org's 15-character id, such as 00D000000000001")
	}
	v.url(p.Child("apiBaseUrl"), org.APIBaseURL, org.PlainHTTP, apiHosts)
	v.inRange(p.Child("callTimeout"), org.CallTimeout, time.Millisecond, 10*time.Second)
	v.inRange(p.Child("tokenLifetime"), org.TokenLifetime, time.Second, 24*time.Hour)
	if org.CallsInFlight < 1 || org.CallsInFlight > 1000 {
		v.Add(p.Child("callsInFlight"), "must be between 1 and 1000")
	}
	if !(org.CallsPerSecond >= 0.1 && org.CallsPerSecond <= 2000) { // negated, so that NaN is rejected
		v.Add(p.Child("callsPerSecond"), "must be between 0.1 and 2000")
	}
	switch {
	case org.Paused && strings.TrimSpace(org.PauseReason) == "":
		v.Add(p.Child("paused"), "say why in pauseReason: operators see it")
	case len(org.PauseReason) > 200:
		v.Add(p.Child("pauseReason"), "must not be longer than 200 bytes")
	}
	switch {
	case org.JWTBearer != nil && org.ClientCredentials != nil:
		v.Add(p.Child("clientCredentials"), "want either jwtBearer or clientCredentials, not both")
	case org.JWTBearer != nil:
		v.jwtBearer(p.Child("jwtBearer"), *org.JWTBearer, org.PlainHTTP)
	case org.ClientCredentials != nil:
		v.clientCredentials(p.Child("clientCredentials"), *org.ClientCredentials, org.PlainHTTP)
	default:
		v.Add(p, "has no credentials: want jwtBearer or clientCredentials")
	}
}

func isOrgID(id string) bool {
	return conversation.Identity{OrgID: id, ConversationIdentifier: "any"}.ValidateKey() == nil
}

func (v validator) jwtBearer(p path, j JWTBearer, plainHTTP bool) {
	v.required(p.Child("consumerKey"), j.ConsumerKey)
	v.required(p.Child("username"), j.Username)
	if j.Audience != "" {
		v.url(p.Child("audience"), j.Audience, plainHTTP, loginHosts)
	}
	if j.TokenURL != "" {
		v.url(p.Child("tokenUrl"), j.TokenURL, plainHTTP, loginHosts)
	}
	err := j.Key.check()
	if v.secrets && err == nil {
		var key string
		if key, err = j.Key.read(); err == nil {
			err = j.checkKey(key)
		}
	}
	v.AddErr(p.Child("key"), err)
}

func (v validator) clientCredentials(p path, cc ClientCredentials, plainHTTP bool) {
	v.required(p.Child("consumerKey"), cc.ConsumerKey)
	v.url(p.Child("tokenUrl"), cc.TokenURL, plainHTTP, loginHosts)
	err := cc.Secret.check()
	if v.secrets && err == nil {
		_, err = cc.Secret.read()
	}
	v.AddErr(p.Child("secret"), err)
}

func (v validator) required(p path, value string) {
	if value == "" {
		v.Add(p, "is missing")
	}
}

// These are the hosts that Salesforce documents: My Domain names, and the login hosts.
var (
	apiHosts   = []string{"*.my.salesforce-scrt.com"}
	loginHosts = []string{"login.salesforce.com", "test.salesforce.com", "*.my.salesforce.com"}
)

var hostPattern = regexp.MustCompile(`^(\*\.)?[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$`)

// url checks a URL to which a call or a credential is sent. A host that is not one of
// Salesforce's must be named by allowHosts.
func (v validator) url(p path, value string, plainHTTP bool, salesforce []string) {
	if value == "" {
		v.Add(p, "is missing")
		return
	}
	if err := checkURL(value, plainHTTP); err != nil {
		v.AddErr(p, err)
		return
	}
	parsed, err := url.Parse(value)
	if err != nil || !isLoopback(parsed.Hostname()) &&
		!matchesHost(parsed.Hostname(), slices.Concat(salesforce, v.allowHosts)) {
		v.Add(p, "the host is not one of Salesforce's (%s); if it is right, add it to allowHosts",
			strings.Join(salesforce, ", "))
	}
}

func isLoopback(host string) bool { return host == "localhost" || net.ParseIP(host).IsLoopback() }

// matchesHost reports whether a host is one of the patterns. "*." matches one label
// or more.
func matchesHost(host string, patterns []string) bool {
	host = strings.ToLower(host)
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		pattern = strings.ToLower(pattern)
		suffix, wildcard := strings.CutPrefix(pattern, "*")
		return host == pattern || wildcard && len(host) > len(suffix) && strings.HasSuffix(host, suffix)
	})
}

func (v validator) inRange(p path, value, minimum, maximum time.Duration) {
	if value < minimum || value > maximum {
		v.Add(p, "must be between %s and %s", minimum, maximum)
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
