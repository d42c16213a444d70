package service

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sessionkeeper/activities"
	"sessionkeeper/internal/secretfile"
)

func pemOf(t testing.TB, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func rsaKey(t testing.TB) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	return pemOf(t, key)
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func parseStrictly(text []byte) (Config, error) { return parseConfig(text, true) }

// clientsOf returns the API clients of a configuration by the ids of the orgs.
func clientsOf(config Config) (map[string]activities.API, error) {
	clients := map[string]activities.API{}
	for _, org := range config.Orgs {
		client, err := newReading(org).client("1.2.3", nil)
		if err != nil {
			return nil, err
		}
		clients[org.OrgID] = client
	}
	return clients, nil
}

// validConfig is a configuration in which each test makes one mistake. KEY is
// replaced by the path of a valid key file.
const validConfig = `orgs:
  - orgId: 00D000000000001
    apiBaseUrl: https://example.my.salesforce-scrt.com
    jwtBearer:
      consumerKey: key
      username: user@example.com
      key: {file: KEY}
`

func TestConfigDefaults(t *testing.T) {
	config, err := parseStrictly([]byte(strings.ReplaceAll(validConfig, "KEY", write(t, "key.pem", rsaKey(t)))))
	require.NoError(t, err)
	require.Equal(t, "sessionkeeper", config.TaskQueue)
	require.Equal(t, 10_000, config.CachedConversations)
	require.Equal(t, []int{1000, 1000, 100}, []int{config.CallSlots, config.WorkflowTaskSlots, config.MaxPollers})
	require.Equal(t, 25*time.Second, config.StopTimeout)
	require.Equal(t, 10*time.Second, config.Orgs[0].CallTimeout)
	require.Equal(t, 10*time.Minute, config.Orgs[0].TokenLifetime)
	require.Nil(t, config.Deployment)
	_, err = clientsOf(config)
	require.NoError(t, err)
}

// The texts are what an operator reads. KEY, ECKEY, EMPTY, NOKEY and HUGE are
// replaced by the paths of files: a valid key, a key of the wrong type, no text, a
// text that is no key, and a file that is too large.
func TestConfigErrors(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	files := strings.NewReplacer(
		"ECKEY", write(t, "ec.pem", pemOf(t, ec)), "EMPTY", write(t, "empty.pem", " \n"),
		"NOKEY", write(t, "no.pem", "hello"), "KEY", write(t, "key.pem", rsaKey(t)), "HUGE",
		write(t, "huge.pem", strings.Repeat("x", secretfile.MaxSize+1)),
	)
	t.Setenv("BLANK", " ")
	for name, test := range map[string]struct{ text, want string }{
		"empty": {"", `the file is empty: want at least one org under "orgs"`},
		"only comments": {
			"# nothing\n",
			`the file is empty: want at least one org under "orgs"`,
		},
		"null":          {"null\n", `line 1: orgs: want at least one org, or orgFolder`},
		"no orgs":       {"taskQueue: q\n", `line 1: orgs: want at least one org, or orgFolder`},
		"orgs is empty": {"taskQueue: q\norgs: []\n", `line 2: orgs: want at least one org, or orgFolder`},
		"text":          {"hello\n", `line 1: want settings, each as "name: value"`},
		"list":          {"- hello\n", `line 1: want settings, each as "name: value"`},
		"binary":        {"\x00\x01\x7fELF", `the file is not valid YAML: control characters are not allowed`},
		"syntax": {
			"orgs:\n  - orgId: [\n", `the file is not valid YAML: line 2: did not find expected node content`,
		},
		"unknown anchor": {"orgs: *a\n", `the file is not valid YAML: unknown anchor 'a' referenced`},
		"two documents": {
			validConfig + "---\n" + validConfig, `the file has a second YAML document, after a line "---": want one document`,
		},
		"unknown fields and wrong types at once": {
			`taskqueue: q
cachedConversations: many
allowHosts: [[1]]
stopTimeout: 25
deployment: {name: a.b}
orgs:
  - orgId: 00D1
    apiBaseUrl: [https://example.com]
    callTimeout: 1 minute
    plainHttp: maybe
    jwtBearer: no
`,
			`line 1: unknown field taskqueue
line 2: "many" is not a whole number
line 3: want a text
line 4: "25" is not a duration such as "10s"
line 5: deployment.name: must not contain "." or ":"
line 7: orgs[0].orgId: want the org's 15-character id, such as 00D000000000001
line 8: want a text
line 9: "1 minute" is not a duration such as "10s"
line 10: "maybe" is not true or false
line 11: want settings, each as "name: value"`,
		},
		"orgs is not a list": {"orgs: 00D000000000001\n", `line 1: want a list of orgs`},
		"same field twice": {
			validConfig + "orgs: []\n", `line 8: mapping key "orgs" already defined at line 1`,
		},
		"same field twice within an org": {
			strings.Replace(validConfig, "jwtBearer:", "orgId: 00D000000000002\n    jwtBearer:", 1) + "      user: x\n",
			`line 4: mapping key "orgId" already defined at line 2`,
		},
		"out of range, all at once": {
			`cachedConversations: -1
allowHosts: [a b]
stopTimeout: -1s
deployment: {buildId: x}
callSlots: 1
maxPollers: 100001
` + validConfig + `    callTimeout: 11s
    tokenLifetime: 25h
`,
			`line 1: cachedConversations: must not be negative
line 2: allowHosts[0]: want a host name, such as sandbox or *.my.example.com
line 3: stopTimeout: must not be negative
line 4: deployment.name: is missing
line 5: callSlots: must be between 2 and 100000
line 6: maxPollers: must be between 2 and 100000
line 14: orgs[0].callTimeout: must be between 1ms and 10s
line 15: orgs[0].tokenLifetime: must be between 1s and 24h0m0s`,
		},
		"every required field is missing": {
			"orgs:\n  - {}\n  - jwtBearer: {}\n  -\n    clientCredentials:\n      consumerKey:\n",
			`line 2: orgs[0].orgId: want the org's 15-character id, such as 00D000000000001
line 2: orgs[0].apiBaseUrl: is missing
line 2: orgs[0]: has no credentials: want jwtBearer or clientCredentials
line 3: orgs[1].orgId: want the org's 15-character id, such as 00D000000000001
line 3: orgs[1].apiBaseUrl: is missing
line 3: orgs[1].jwtBearer.consumerKey: is missing
line 3: orgs[1].jwtBearer.username: is missing
line 3: orgs[1].jwtBearer.key: want file or env: where the secret is
line 5: orgs[2].orgId: want the org's 15-character id, such as 00D000000000001
line 5: orgs[2].apiBaseUrl: is missing
line 5: orgs[2].clientCredentials.tokenUrl: is missing
line 5: orgs[2].clientCredentials.secret: want file or env: where the secret is
line 6: orgs[2].clientCredentials.consumerKey: is missing`,
		},
		"the same org three times": {
			validConfig + strings.ReplaceAll(validConfig, "orgs:\n", "") + strings.ReplaceAll(validConfig, "orgs:\n", ""),
			`line 8: orgs[1].orgId: org 00D000000000001 is already configured at orgs[0]
line 14: orgs[2].orgId: org 00D000000000001 is already configured at orgs[0]`,
		},
		"an 18-character id": {
			strings.Replace(validConfig, "00D000000000001", "00D000000000001EAA", 1),
			`line 2: orgs[0].orgId: want the org's 15-character id, such as 00D000000000001`,
		},
		"both kinds of credentials": {
			validConfig + "    clientCredentials: {consumerKey: k, tokenUrl: https://example.com, secret: {env: HOME}}\n",
			`line 8: orgs[0].clientCredentials: want either jwtBearer or clientCredentials, not both`,
		},
		"no URL": {
			strings.Replace(validConfig, "https://example.my.salesforce-scrt.com", "example.my.salesforce-scrt.com", 1),
			`line 3: orgs[0].apiBaseUrl: must begin with https://`,
		},
		"http to another machine": {
			strings.Replace(validConfig, "https://", "http://", 1),
			`line 3: orgs[0].apiBaseUrl: must begin with https://, ` +
				`because http would send the credentials to example.my.salesforce-scrt.com unencrypted`,
		},
		"URL with a password, which must not be in the error": {
			strings.Replace(validConfig, "https://", "https://me:hunter2@",
				1) + "      audience: test.salesforce.com\n      tokenUrl: 'https://x/?a=hunter2'\n",
			`line 3: orgs[0].apiBaseUrl: must not contain a user name or a password
line 8: orgs[0].jwtBearer.audience: must begin with https://
line 9: orgs[0].jwtBearer.tokenUrl: must not contain a query or a fragment`,
		},
		"secret in the file": {
			strings.Replace(validConfig, "{file: KEY}", "hunter2", 1),
			`line 7: want file or env: where the secret is, not the secret`,
		},
		"key in the file": {
			strings.Replace(validConfig, "{file: KEY}", "{file: \"-----BEGIN PRIVATE KEY-----\\nhunter2\"}", 1),
			`line 7: orgs[0].jwtBearer.key: file: want the file's path, not what is in it`,
		},
		"variable's value instead of its name": {
			strings.Replace(validConfig, "{file: KEY}", "{env: hunter2!}", 1),
			`line 7: orgs[0].jwtBearer.key: env: want the name of an environment variable`,
		},
		"file and variable": {
			strings.Replace(validConfig, "{file: KEY}", "{file: KEY, env: HOME}", 1),
			`line 7: orgs[0].jwtBearer.key: want either file or env, not both`,
		},
		"variable not set": {
			strings.Replace(validConfig, "{file: KEY}", "{env: NOT_SET}", 1),
			`line 7: orgs[0].jwtBearer.key: environment variable NOT_SET is not set`,
		},
		"variable is blank": {
			strings.Replace(validConfig, "{file: KEY}", "{env: BLANK}", 1),
			`line 7: orgs[0].jwtBearer.key: environment variable BLANK is not set`,
		},
		"no such file": {
			strings.Replace(validConfig, "KEY", "/no/such/key.pem", 1),
			`line 7: orgs[0].jwtBearer.key: open /no/such/key.pem: no such file or directory`,
		},
		"directory": {
			strings.Replace(validConfig, "KEY", "/", 1), `line 7: orgs[0].jwtBearer.key: read /: is a directory`,
		},
		"empty file": {
			strings.Replace(validConfig, "KEY", "EMPTY", 1), `line 7: orgs[0].jwtBearer.key: file EMPTY is empty`,
		},
		"huge file": {
			strings.Replace(validConfig, "KEY", "HUGE", 1),
			`line 7: orgs[0].jwtBearer.key: file HUGE is larger than 1 MiB: is it the right one?`,
		},
		"not a key": {
			strings.Replace(validConfig, "KEY", "NOKEY", 1),
			`line 7: orgs[0].jwtBearer.key: file NOKEY has no PEM block with a private key`,
		},
		"EC key": {
			strings.Replace(validConfig, "KEY", "ECKEY", 1),
			`line 7: orgs[0].jwtBearer.key: file ECKEY is not an RSA key; RS256 needs one`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseStrictly([]byte(files.Replace(test.text)))
			require.EqualError(t, err, files.Replace(test.want))
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
}

func TestLineOfAProblemBelowAYAMLAnchor(t *testing.T) {
	text := "orgs:\n  - &first\n    orgId: 00D000000000001\n  - <<: *first\n    orgId: 00D000000000002\n"
	_, err := parseStrictly([]byte(text))
	require.ErrorContains(t, err, "line 4: orgs[1].apiBaseUrl: is missing")
}

func TestHTTPIsAllowedOnLoopbackOrWithPlainHTTP(t *testing.T) {
	key := write(t, "key.pem", rsaKey(t))
	for url, ok := range map[string]bool{
		"http://sandbox:8787\n    plainHttp: true": true, // the host is allowed, see below
		"http://localhost:8787":                    true,
		"http://127.0.0.1:8787":                    true,
		"http://[::1]:8787":                        true,
		"http://sandbox:8787":                      false,
	} {
		text := strings.NewReplacer("https://example.my.salesforce-scrt.com", url, "KEY", key).
			Replace("allowHosts: [sandbox]\n" + validConfig)
		_, err := parseStrictly([]byte(text))
		require.Equal(t, ok, err == nil, "%s: %v", url, err)
	}
}

func TestHostsAreSalesforcesUnlessAllowed(t *testing.T) {
	key := write(t, "key.pem", rsaKey(t))
	for host, want := range map[string]string{
		"acme.my.salesforce-scrt.com":                  "",
		"acme--dev.sandbox.my.salesforce-scrt.com":     "",
		"ACME.MY.SALESFORCE-SCRT.COM":                  "",
		"localhost:8787":                               "",
		"api.example.com":                              "",
		"a.b.example.org":                              "",
		"example.org":                                  "line 4: orgs[0].apiBaseUrl: the host is not one of Salesforce's",
		"acme.my.salesforce-scrt.com.evil.example.net": "line 4: orgs[0].apiBaseUrl: the host is not one of Salesforce's",
		"evilmy.salesforce-scrt.com":                   "line 4: orgs[0].apiBaseUrl: the host is not one of Salesforce's",
		"acme.my.salesforce.com":                       "line 4: orgs[0].apiBaseUrl: the host is not one of Salesforce's",
	} {
		text := strings.NewReplacer("example.my.salesforce-scrt.com", host, "KEY", key).
			Replace("allowHosts: [api.example.com, '*.example.org']\n" + validConfig)
		_, err := parseStrictly([]byte(text))
		if want == "" {
			require.NoError(t, err, host)
			continue
		}
		require.ErrorContains(t, err, want, host)
	}
	for _, setting := range []string{"audience: https://", "tokenUrl: https://"} {
		text := strings.NewReplacer("KEY", key, "consumerKey: key", setting+"login.salesforce.com\n      consumerKey: key").Replace(validConfig)
		_, err := parseStrictly([]byte(text))
		require.NoError(t, err)
		_, err = parseStrictly([]byte(strings.Replace(text, "login.salesforce.com", "login.example.com", 1)))
		require.ErrorContains(t, err, "the host is not one of Salesforce's (login.salesforce.com, ")
	}
	_, err := parseStrictly([]byte("allowHosts: ['*', 'http://a']\n" + strings.Replace(validConfig, "KEY", key, 1)))
	require.EqualError(t, err, "line 1: allowHosts[0]: want a host name, such as sandbox or *.my.example.com\n"+
		"line 1: allowHosts[1]: want a host name, such as sandbox or *.my.example.com")
}

// The environment names the version of a worker, and goes before the file.
func TestVersionFromTheEnvironment(t *testing.T) {
	for name, test := range map[string]struct {
		file, deployment, buildID string
		want                      *Deployment
		problem                   string
	}{
		"none":             {},
		"file":             {file: "deployment: {name: a, buildId: '1'}", want: &Deployment{"a", "1"}},
		"environment":      {deployment: "b", buildID: "2", want: &Deployment{"b", "2"}},
		"both":             {file: "deployment: {name: a, buildId: '1'}", deployment: "b", buildID: "2", want: &Deployment{"b", "2"}},
		"name only":        {file: "deployment: {name: a, buildId: '1'}", deployment: "b", want: &Deployment{"b", ""}},
		"build id only":    {file: "deployment: {name: a}", buildID: "2", want: &Deployment{"a", "2"}},
		"build id of none": {buildID: "2", problem: "TEMPORAL_WORKER_BUILD_ID needs TEMPORAL_DEPLOYMENT_NAME"},
		"reserved":         {deployment: "a.b", problem: `TEMPORAL_DEPLOYMENT_NAME: must not contain "." or ":"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(DeploymentNameVariable, test.deployment)
			t.Setenv(BuildIDVariable, test.buildID)
			config, err := LoadConfig(write(t, "worker.yaml", "orgFolder: .\n"+test.file))
			if test.problem != "" {
				require.ErrorContains(t, err, test.problem)
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.want, config.Deployment)
		})
	}
}

func TestLoadConfigErrorHasTheFileName(t *testing.T) {
	_, err := LoadConfig("/no/such/worker.yaml")
	require.EqualError(t, err, "read configuration: open /no/such/worker.yaml: no such file or directory")
	require.ErrorIs(t, err, os.ErrNotExist)

	path := write(t, "worker.yaml", "orgs: []\n")
	_, err = LoadConfig(path)
	require.EqualError(t, err, "configuration "+path+":\n  line 1: orgs: want at least one org, or orgFolder")

	path = write(t, "worker.yaml", strings.Repeat("# a long comment\n", secretfile.MaxSize/16)+"#")
	_, err = LoadConfig(path)
	require.EqualError(t, err, "read configuration: file "+path+" is larger than 1 MiB: is it the right one?")
}

func TestSecretHasNothingAroundIt(t *testing.T) {
	t.Setenv("THE_SECRET", "  from env\n")
	value, err := Secret{Env: "THE_SECRET"}.read()
	require.NoError(t, err)
	require.Equal(t, "from env", value)

	for _, text := range []string{"\r\n from file \n\n", "\ufefffrom file\r\n", "\"from file\"\n", " ' from file' "} {
		value, err = Secret{File: write(t, "secret", text)}.read()
		require.NoError(t, err)
		require.Equal(t, "from file", value)
	}
}

// What editors, shells and deployment tools make of a key.
func TestKeyInEveryShape(t *testing.T) {
	key := rsaKey(t)
	text := strings.TrimSpace(key)
	body := strings.TrimSuffix(strings.TrimPrefix(text, "-----BEGIN PRIVATE KEY-----\n"), "\n-----END PRIVATE KEY-----")
	shapes := map[string]string{
		"as it is":               key,
		"byte order mark":        "\ufeff" + key,
		`literal \n`:             strings.ReplaceAll(key, "\n", `\n`),
		`literal \r\n`:           strings.ReplaceAll(key, "\n", `\r\n`),
		"CRLF":                   strings.ReplaceAll(key, "\n", "\r\n"),
		"CR":                     strings.ReplaceAll(key, "\n", "\r"),
		"double quotes":          `"` + text + `"`,
		`quotes and literal \n`:  `'` + strings.ReplaceAll(key, "\n", `\n`) + `'`,
		"spaces around":          "  \n\t" + text + " \n ",
		"indented":               strings.ReplaceAll("\n"+text, "\n", "\n    "),
		"one line":               strings.ReplaceAll(text, "\n", " "),
		"no line breaks":         strings.ReplaceAll(text, "\n", ""),
		"base64 of the file":     base64.StdEncoding.EncodeToString([]byte(key)),
		"the same in lines":      base64.StdEncoding.EncodeToString([]byte(key))[:76] + "\n" + base64.StdEncoding.EncodeToString([]byte(key))[76:],
		"without its boundaries": body,
		"after a certificate":    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n" + key,
	}
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			t.Setenv("THE_KEY", shape)
			for _, source := range []string{"env: THE_KEY", "file: " + write(t, "key.pem", shape)} {
				config, err := parseStrictly([]byte(strings.Replace(validConfig, "file: KEY", source, 1)))
				require.NoError(t, err, source)
				_, err = clientsOf(config)
				require.NoError(t, err, source)
			}
		})
	}
}

func TestWhatIsNoKeyIsNamedWithItsSource(t *testing.T) {
	key := rsaKey(t)
	block := func(blockType string) string {
		return "-----BEGIN " + blockType + "-----\naHVudGVyMg==\n-----END " + blockType + "-----\n"
	}
	utf16 := "\xff\xfe"
	for _, c := range key {
		utf16 += string(c) + "\x00"
	}
	for name, test := range map[string]struct{ text, want string }{
		"certificate": {block("CERTIFICATE"), "only a certificate"},
		"public key":  {block("PUBLIC KEY"), "only a public key"},
		"encrypted":   {block("ENCRYPTED PRIVATE KEY"), "is encrypted"},
		"encrypted in the old form": {
			"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\naHVudGVyMg==\n" +
				"-----END RSA PRIVATE KEY-----\n", "is encrypted",
		},
		"EC":              {block("EC PRIVATE KEY"), "is not an RSA key"},
		"OpenSSH":         {block("OPENSSH PRIVATE KEY"), "OpenSSH's format"},
		"cut off":         {key[:len(key)/2], "cut off or damaged"},
		"base64 of other": {base64.StdEncoding.EncodeToString([]byte("hunter2")), "has no PEM block"},
		"a path":          {"/run/secrets/hunter2.pem", "has no PEM block"},
		"binary":          {"0\x82\x04\xbe\x02", "is binary"},
		"UTF-16":          {utf16, "is UTF-16"},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, "key.pem", test.text)
			sources := map[string]string{"file: " + path: "file " + path + " "}
			if !strings.Contains(test.text, "\x00") { // an environment variable cannot have it
				t.Setenv("THE_KEY", test.text)
				sources["env: THE_KEY"] = "environment variable THE_KEY "
			}
			for setting, source := range sources {
				_, err := parseStrictly([]byte(strings.Replace(validConfig, "file: KEY", setting, 1)))
				require.ErrorContains(t, err, "orgs[0].jwtBearer.key: "+source)
				require.ErrorContains(t, err, test.want)
				require.NotContains(t, err.Error(), "hunter2")
			}
		})
	}
}

func TestSecretFileWithoutPermission(t *testing.T) {
	path := write(t, "secret", "x")
	require.NoError(t, os.Chmod(path, 0))
	if _, err := os.ReadFile(path); err == nil {
		t.Skip("this user can read every file")
	}
	_, err := Secret{File: path}.read()
	require.EqualError(t, err, "open "+path+": permission denied")
}

func FuzzParseConfig(f *testing.F) {
	f.Add(validConfig)
	f.Add("orgs: [{jwtBearer: {key: {env: X}}}, &a {}, *a]")
	f.Add("orgs:\n- ? [a]\n  : b\n")
	f.Fuzz(func(t *testing.T, text string) {
		// The fuzzer could name any file of this machine.
		if strings.Contains(text, "file") {
			t.Skip()
		}
		config, err := parseStrictly([]byte(text))
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		_, err = clientsOf(config)
		require.NoError(t, err, "a valid configuration makes clients")
	})
}
