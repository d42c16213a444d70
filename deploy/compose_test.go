// Package deploy checks docker-compose.yml and the files beside it.
package deploy

import (
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

const root = ".."

// options reads docker-compose.yml with these variables, and without those of the
// environment.
func options(t *testing.T, env ...string) *cli.ProjectOptions {
	t.Helper()
	o, err := cli.NewProjectOptions(
		[]string{filepath.Join(root, "docker-compose.yml")},
		cli.WithEnv(env),
		cli.WithProfiles([]string{"*"}),
	)
	require.NoError(t, err)
	return o
}

// project returns the services of all profiles, checked against the Compose schema.
func project(t *testing.T) *types.Project {
	t.Helper()
	p, err := options(t, "POSTGRES_PASSWORD=example").LoadProject(t.Context())
	require.NoError(t, err)
	return p
}

// model returns the file before variables are replaced.
func model(t *testing.T) map[string]any {
	t.Helper()
	o := options(t)
	require.NoError(t, cli.WithInterpolation(false)(o))
	m, err := o.LoadModel(t.Context())
	require.NoError(t, err)
	return m
}

func TestComposeErrorNamesTheMissingPassword(t *testing.T) {
	_, err := options(t).LoadProject(t.Context())
	require.ErrorContains(t, err, "POSTGRES_PASSWORD")
	require.ErrorContains(t, err, ".env")
}

func TestComposeVariablesAreInTheEnvExample(t *testing.T) {
	example, err := os.ReadFile(filepath.Join(root, ".env.example"))
	require.NoError(t, err)
	commentedOut := regexp.MustCompile(`(?m)^#([A-Z_]+=)`)
	documented, err := dotenv.Parse(strings.NewReader(commentedOut.ReplaceAllString(string(example), "$1")))
	require.NoError(t, err)

	used := template.ExtractVariables(model(t), template.DefaultPattern)
	for name, v := range used {
		require.Truef(t, v.Required || v.DefaultValue != "", "%s has no default and is not required", name)
		require.Containsf(t, documented, name, "%s is not in .env.example", name)
		if !v.Required {
			require.Equalf(t, v.DefaultValue, documented[name], "default of %s in .env.example", name)
		}
	}
	for name := range documented {
		require.Containsf(t, used, name, "%s of .env.example is not used", name)
	}
}

func TestComposeDefaultProfileHasNoOptionalServices(t *testing.T) {
	all := project(t)
	require.Contains(t, all.ServiceNames(), "sandbox")
	standard, err := all.WithProfiles(nil)
	require.NoError(t, err)
	require.NotContains(t, standard.ServiceNames(), "sandbox")
	require.NotContains(t, standard.ServiceNames(), "serve")
	require.Contains(t, standard.ServiceNames(), "worker")
}

func TestComposeImagesArePinned(t *testing.T) {
	pinned := regexp.MustCompile(`:\d+\.\d+(\.\d+)?(-\w+)?$`)
	for _, s := range project(t).Services {
		if s.Build == nil {
			require.Regexpf(t, pinned, s.Image, "image of %s", s.Name)
		}
	}
}

func TestComposePortsAreOnTheLoopbackAddress(t *testing.T) {
	for _, s := range project(t).Services {
		for _, port := range s.Ports {
			require.Equalf(t, "127.0.0.1", port.HostIP, "port %d of %s", port.Target, s.Name)
		}
	}
}

func TestComposeMountsExistAndAreReadOnly(t *testing.T) {
	madeByOperator := []string{"secrets", "tokens"}
	for _, s := range project(t).Services {
		for _, v := range s.Volumes {
			if v.Type != types.VolumeTypeBind {
				continue
			}
			require.Truef(t, v.ReadOnly, "%s of %s", v.Source, s.Name)
			if !slices.Contains(madeByOperator, filepath.Base(v.Source)) {
				_, err := os.Stat(v.Source)
				require.NoErrorf(t, err, "mount of %s", s.Name)
			}
		}
	}
}

func TestComposeContainsNoSecret(t *testing.T) {
	secret := regexp.MustCompile(`(?i)(password|pwd|secret|token|api_?key)$`)
	services, ok := model(t)["services"].(map[string]any)
	require.True(t, ok)
	seen := 0
	for name, s := range services {
		environment, _ := s.(map[string]any)["environment"].(map[string]any)
		for _, key := range slices.Sorted(maps.Keys(environment)) {
			if secret.MatchString(key) {
				seen++
				require.Regexpf(t, `^\$\{\w+:\?`, environment[key], "%s of %s", key, name)
			}
		}
	}
	require.Positive(t, seen)
}

func TestDeploymentFilesParse(t *testing.T) {
	parsers := map[string]func([]byte, any) error{".json": json.Unmarshal, ".yaml": yaml.Unmarshal, ".yml": yaml.Unmarshal}
	seen := 0
	err := filepath.WalkDir(filepath.Join(root, "deploy"), func(path string, _ fs.DirEntry, err error) error {
		parse := parsers[filepath.Ext(path)]
		if err != nil || parse == nil {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		seen++
		var document any
		require.NoErrorf(t, parse(content, &document), "%s", path)
		return nil
	})
	require.NoError(t, err)
	require.Positive(t, seen)
}

// The key and the address of the sandbox are in three places, which must agree.
func TestComposeSandboxMatchesTheWorkerConfiguration(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "deploy", "worker.sandbox.yaml"))
	require.NoError(t, err)
	var config struct {
		Orgs []struct {
			APIBaseURL string `yaml:"apiBaseUrl"`
			JWTBearer  struct {
				TokenURL string `yaml:"tokenUrl"`
				Key      struct{ File string }
			} `yaml:"jwtBearer"`
		}
	}
	require.NoError(t, yaml.Unmarshal(text, &config))
	require.Len(t, config.Orgs, 1)
	org, key := config.Orgs[0], config.Orgs[0].JWTBearer.Key.File

	p := project(t)
	sandbox := p.Services["sandbox"]
	require.Equal(t, types.ShellCommand{
		"/usr/local/bin/sandbox", "--listen", ":8787", "--key-out", key,
		"--adopt-unknown",
	}, sandbox.Entrypoint,
		"the worker reads this key; a starter sends events of conversations that the sandbox does not know")
	require.Equal(t, "http://sandbox:8787", org.APIBaseURL)
	require.Equal(t, "http://sandbox:8787/services/oauth2/token", org.JWTBearer.TokenURL)
	volume := func(service, target string) types.ServiceVolumeConfig {
		volumes := p.Services[service].Volumes
		i := slices.IndexFunc(volumes, func(v types.ServiceVolumeConfig) bool { return v.Target == target })
		require.NotEqualf(t, -1, i, "%s has no volume at %s", service, target)
		return volumes[i]
	}
	written, read := volume("sandbox", filepath.Dir(key)), volume("worker", filepath.Dir(key))
	require.Equal(t, written.Source, read.Source)
	require.False(t, written.ReadOnly)
	require.True(t, read.ReadOnly)

	// The sandbox is healthy when the worker could read the configuration and the key.
	check := sandbox.HealthCheck.Test
	require.Equal(t, "-check-config", check[len(check)-1])
	require.True(t, strings.HasSuffix(volume("sandbox", check[slices.Index(check, "-config")+1]).Source,
		"deploy/worker.sandbox.yaml"))
	require.True(t, p.Services["worker"].DependsOn["sandbox"].Restart, "the worker reads the key only when it starts")
}

func TestComposeWorkerHasAHealthcheck(t *testing.T) {
	worker := project(t).Services["worker"]
	require.Equal(t, types.HealthCheckTest{"CMD", "/usr/local/bin/worker", "-healthcheck"}, worker.HealthCheck.Test)
	require.Equal(t, ":9090", *worker.Environment["SESSIONKEEPER_LISTEN"], "the address that the health check uses")
	dockerfile, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	require.NoError(t, err)
	require.Regexp(t, `(?m)^HEALTHCHECK .* CMD \["/usr/local/bin/worker", "-healthcheck"\]$`, string(dockerfile))
	require.Contains(t, string(dockerfile), "-X main.version=${VERSION}")
}

// The sandbox has an image of its own, so a production image has no program that acts as
// Salesforce.
func TestProductionImageHasNoSandbox(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	require.NoError(t, err)
	stages := strings.Split(string(text), "\nFROM ")
	for _, stage := range stages[2:] {
		isSandbox := strings.Contains(strings.SplitN(stage, "\n", 2)[0], " AS sandbox")
		require.Equal(t, isSandbox, strings.Contains(stage, "/out/sandbox"), stage)
	}
	require.NotContains(t, stages[len(stages)-1], " AS ", "the last stage is the one that is built by default")
	services := project(t).Services
	require.Equal(t, services["worker"].Image, services["serve"].Image)
	require.NotEqual(t, services["worker"].Image, services["sandbox"].Image)
	require.Equal(t, "sandbox", services["sandbox"].Build.Target)
}

func TestComposeServeHasAHealthcheckAndTimeToDrain(t *testing.T) {
	serve := project(t).Services["serve"]
	require.Equal(t, types.HealthCheckTest{"CMD", "/usr/local/bin/worker", "-healthcheck"}, serve.HealthCheck.Test)
	require.Equal(t, ":9091", *serve.Environment["SESSIONKEEPER_LISTEN"], "the address that the health check uses")
	require.Contains(t, serve.Entrypoint, "--metrics-listen=:9091")
	require.Len(t, serve.Volumes, 1)
	require.True(t, strings.HasSuffix(serve.Volumes[0].Source, "deploy/tokens"),
		"serve must not have the worker's secrets")
	kubernetes, err := os.ReadFile(filepath.Join(root, "deploy", "kubernetes", "serve.yaml"))
	require.NoError(t, err)
	var drain time.Duration
	for _, argument := range serve.Entrypoint {
		if text, ok := strings.CutPrefix(argument, "--drain-timeout="); ok {
			require.Contains(t, string(kubernetes), argument)
			drain, err = time.ParseDuration(text)
			require.NoError(t, err)
		}
	}
	require.Positive(t, drain)
	require.Greater(t, time.Duration(*serve.StopGracePeriod), drain)
}

func TestComposeDependenciesHaveAConditionThatCanBeMet(t *testing.T) {
	p := project(t)
	for _, s := range p.Services {
		for name, dependency := range s.DependsOn {
			on := p.Services[name]
			switch dependency.Condition {
			case types.ServiceConditionHealthy:
				require.NotNilf(t, on.HealthCheck, "%s waits for the health of %s", s.Name, name)
				require.NotEmptyf(t, on.HealthCheck.Test, "%s waits for the health of %s", s.Name, name)
			case types.ServiceConditionStarted:
				require.Falsef(t, dependency.Required, "%s requires %s, but does not wait until it is ready", s.Name, name)
			case types.ServiceConditionCompletedSuccessfully:
				require.Containsf(t, []string{"", "no", "on-failure:5"}, on.Restart, "%s waits for the end of %s", s.Name, name)
			default:
				t.Errorf("%s does not wait until %s is ready", s.Name, name)
			}
		}
	}
}
