package interaction

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// parseEndpoint accepts an absolute URL to which an access token may be sent:
// https, or http where nobody can listen (this machine) or it was allowed. Its
// errors leave the URL out, which may hold a password when it is a wrong one.
func parseEndpoint(raw string, plainHTTP bool) (*url.URL, error) {
	u, err := url.Parse(raw)
	if parseErr, ok := errors.AsType[*url.Error](err); ok {
		return nil, fmt.Errorf("is no URL: %w", parseErr.Err)
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
