package gokafka

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/testcontainers/testcontainers-go"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const image = "gokafka:testcontainers"

func TestMain(m *testing.M) { os.Exit(withDocker(m)) }

func withDocker(m *testing.M) int {
	// The reaper would be another image to pull; the tests end what they start.
	os.Setenv("TESTCONTAINERS_RYUK_DISABLED", "true")
	stop, err := docker()
	if err == nil {
		defer stop()
		err = build()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// docker makes sure that a Docker daemon answers: the machine's, or one of our own for the length of the tests, which needs root.
func docker() (stop func(), err error) {
	if exec.Command("docker", "info").Run() == nil {
		return func() {}, nil
	}
	dir, err := os.MkdirTemp("", "gokafka-docker-")
	if err != nil {
		return nil, err
	}
	socket := "unix://" + filepath.Join(dir, "docker.sock")
	var out bytes.Buffer
	cmd := exec.Command("dockerd", "--storage-driver=vfs", "--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "exec"),
		"--pidfile", filepath.Join(dir, "pid"), "-H", socket)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("no Docker daemon answers and none can be started (on Debian: apt-get install docker.io, and be root): %w", err)
	}
	stop = func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		_ = os.RemoveAll(dir)
	}
	os.Setenv("DOCKER_HOST", socket)
	// The daemon has our network. Left to itself the library takes a machine that has /.dockerenv for a container, and asks for a gateway.
	os.Setenv("TESTCONTAINERS_HOST_OVERRIDE", "localhost")
	for range 300 {
		if exec.Command("docker", "info").Run() == nil {
			return stop, nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	stop()
	return nil, fmt.Errorf("the Docker daemon does not come up:\n%s", out.Bytes()[max(0, out.Len()-3000):])
}

// build makes the image from the module above, by the Dockerfile that it ships.
func build() error {
	dir, err := os.MkdirTemp("", "gokafka-image-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.MkdirAll(filepath.Join(dir, "bin", "data"), 0o755); err != nil {
		return err
	}
	compile := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(dir, "bin", "gokafka"), "./cmd/gokafka")
	compile.Dir, compile.Env = "..", append(os.Environ(), "CGO_ENABLED=0")
	for _, cmd := range []*exec.Cmd{compile, exec.Command("docker", "build", "-q", "-t", image, "-f", "../Dockerfile", dir)} {
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("run %v: %w\n%s", cmd.Args, err, out)
		}
	}
	return nil
}

func start(t *testing.T, opts ...testcontainers.ContainerCustomizer) *Container {
	t.Helper()
	c, err := Run(t.Context(), image, opts...)
	if c != nil {
		testcontainers.CleanupContainer(t, c.Container)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func client(t *testing.T, c *Container, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	brokers, err := c.Brokers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	k, err := kgo.NewClient(append(opts, kgo.SeedBrokers(brokers...), kgo.AllowAutoTopicCreation())...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

// A client on the host reaches the broker in the container under the address that the broker advertises; what it wrote is
// there after the container was stopped and started again.
func TestRun(t *testing.T) {
	c := start(t)
	want := &kgo.Record{Topic: "t", Value: []byte("hello")}
	if err := client(t, c).ProduceSync(t.Context(), want).FirstErr(); err != nil {
		t.Fatal(err)
	}
	patience := 30 * time.Second
	if err := c.Stop(t.Context(), &patience); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	fetches := client(t, c, kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())).PollFetches(ctx)
	if err := fetches.Err(); err != nil {
		t.Fatal(err)
	}
	if got := fetches.Records(); len(got) != 1 || string(got[0].Value) != "hello" {
		t.Fatalf("read %v", got)
	}
}

// Two brokers run side by side, each with its own properties.
func TestProperties(t *testing.T) {
	for _, partitions := range []string{"3", "5"} {
		c := start(t, WithProperties(map[string]string{"num.partitions": partitions}))
		k := client(t, c)
		if err := k.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Value: []byte("x")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		req := kmsg.NewPtrMetadataRequest()
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = kmsg.StringPtr("t")
		req.Topics = append(req.Topics, topic)
		resp, err := req.RequestWith(t.Context(), k)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(len(resp.Topics[0].Partitions)); got != partitions {
			t.Errorf("%s partitions, want %s", got, partitions)
		}
	}
}

// The broker is nobody in particular, can write to a volume of any name, finds its data there again, and says that it is well.
func TestVolume(t *testing.T) {
	volume := fmt.Sprintf("gokafka-test-%d", time.Now().UnixNano())
	t.Cleanup(func() { _ = exec.Command("docker", "volume", "rm", "-f", volume).Run() })
	for round := range 2 {
		c := start(t, testcontainers.WithMounts(testcontainers.VolumeMount(volume, "/data")))
		awaitHealthy(t, c)
		info, err := c.Inspect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if user := info.Config.User; user != "65532:65532" {
			t.Errorf("the broker runs as %q", user)
		}
		k := client(t, c)
		at, err := k.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Value: []byte("x")}).First()
		if err != nil {
			t.Fatal(err)
		}
		if at.Offset != int64(round) {
			t.Errorf("round %d: offset %d", round, at.Offset)
		}
		k.Close()
		if err := testcontainers.TerminateContainer(c.Container); err != nil {
			t.Fatal(err)
		}
	}
}

func awaitHealthy(t *testing.T, c *Container) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		s, err := c.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if s.Health != nil && s.Health.Status == "healthy" {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("health is %+v after a minute", s.Health)
		}
	}
}
