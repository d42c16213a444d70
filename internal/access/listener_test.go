package access

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// writeCertificate writes a new certificate and its key into a folder.
func writeCertificate(t *testing.T, dir string) (certificate []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:   time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	certificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	require.NoError(t, os.WriteFile(filepath.Join(dir, "cert"), certificate, 0o600))
	private = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	require.NoError(t, os.WriteFile(filepath.Join(dir, "key"), private, 0o600))
	return certificate
}

func TestListenerServesTLS(t *testing.T) {
	dir := t.TempDir()
	certificate := writeCertificate(t, dir)
	listener, err := Listener{
		Address: "127.0.0.1:0", Certificate: filepath.Join(dir, "cert"), Key: filepath.Join(dir, "key"),
	}.Listen(t.Context(), true, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	server := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Minute}
	defer server.Close()
	go func() { _ = server.Serve(listener) }()
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(certificate))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+listener.Addr().String(), http.NoBody)
	require.NoError(t, err)
	response, err := transport.RoundTrip(request)
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, http.StatusNotFound, response.StatusCode)
}

func TestCertificateIsReplacedWithoutInterruption(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, log := t.TempDir(), &bytes.Buffer{}
		original := writeCertificate(t, dir)
		logger := slog.New(slog.NewTextHandler(log, nil))
		c := &certificate{file: filepath.Join(dir, "cert"), keyFile: filepath.Join(dir, "key"), logger: logger}
		require.NoError(t, c.load())
		requireCertificate := func(want []byte) {
			t.Helper()
			got, err := c.get(nil)
			require.NoError(t, err)
			block := &pem.Block{Type: "CERTIFICATE", Bytes: got.Certificate[0]}
			require.Equal(t, string(want), string(pem.EncodeToMemory(block)))
		}
		requireCertificate(original)
		renewed := writeCertificate(t, dir)
		requireCertificate(original)
		time.Sleep(time.Minute)
		requireCertificate(renewed)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "key"), nil, 0o600))
		time.Sleep(time.Minute)
		requireCertificate(renewed)
		require.Equal(t, 1, strings.Count(log.String(), "The TLS certificate was not replaced"))
	})
}
