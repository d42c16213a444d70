package interaction

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// parseEndpoint accepts an absolute URL to which an access token may be sent. That
// is https, or http to this machine, or http if plainHTTP allows it. The errors do
// not contain the URL, because a wrong URL may contain a password.
func parseEndpoint(raw string, plainHTTP bool) (*url.URL, error) {
	u, err := url.Parse(raw)
	if parseErr, ok := errors.AsType[*url.Error](err); ok {
		return nil, fmt.Errorf("is not a URL: %w", parseErr.Err)
	}
	switch {
	case err != nil:
		return nil, err
	case raw == "":
		return nil, errors.New("is required")
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("must begin with https://")
	case u.Hostname() == "":
		return nil, errors.New("has no host")
	case u.User != nil:
		return nil, errors.New("must not contain a user name or a password")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("must not contain a query or a fragment")
	case u.Scheme == "http" && !plainHTTP && !isLoopback(u.Hostname()):
		return nil, fmt.Errorf("must begin with https://, because http would send the credentials to %s unencrypted", u.Host)
	}
	return u, nil
}

func isLoopback(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().IsLoopback()
	}
	host = strings.ToLower(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}
