// Package gokafka starts a gokafka broker in a container, for tests of programs that need Kafka:
//
//	broker, err := gokafka.Run(ctx, "gokafka:latest")
//	testcontainers.CleanupContainer(t, broker)
//	...
//	addresses, err := broker.Brokers(ctx)
//	...
//	client, err := kgo.NewClient(kgo.SeedBrokers(addresses...))
//
// A Kafka client asks the first broker that it reaches for the address of all, so the broker must know the address under which
// the host sees it before it starts. The container therefore gets a port of the host that was chosen beforehand, the same for
// its whole life, also over Stop and Start.
package gokafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/wait"
)

// port is where the broker listens inside the container.
const port = "9092/tcp"

// attempts to find a port of the host that nobody else takes between our look and Docker's.
const attempts = 5

// Container is a running broker.
type Container struct {
	testcontainers.Container
	address string
}

// WithProperties sets broker properties, named as in server.properties.
func WithProperties(properties map[string]string) testcontainers.CustomizeRequestOption {
	env := map[string]string{}
	for name, value := range properties {
		env["KAFKA_"+strings.ToUpper(strings.ReplaceAll(name, ".", "_"))] = value
	}
	return testcontainers.WithEnv(env)
}

// Run starts a broker from the image and returns when it answers. When it fails after the container was created, the container is
// returned beside the error, so that it can be terminated.
func Run(ctx context.Context, image string, opts ...testcontainers.ContainerCustomizer) (*Container, error) {
	var err error
	for range attempts {
		var c *Container
		if c, err = run(ctx, image, opts); err == nil || !strings.Contains(err.Error(), "port is already allocated") {
			return c, err
		}
		if c != nil {
			err = errors.Join(err, testcontainers.TerminateContainer(c.Container))
		}
	}
	return nil, err
}

func run(ctx context.Context, image string, opts []testcontainers.ContainerCustomizer) (*Container, error) {
	address, err := chooseAddress(ctx)
	if err != nil {
		return nil, err
	}
	all := append([]testcontainers.ContainerCustomizer{
		testcontainers.WithExposedPorts(port),
		testcontainers.WithEnv(map[string]string{"KAFKA_LISTENERS": "PLAINTEXT://:9092", "KAFKA_ADVERTISED_LISTENERS": "PLAINTEXT://" + address}),
		testcontainers.WithHostConfigModifier(bind(address)),
		testcontainers.WithWaitStrategyAndDeadline(30*time.Second, wait.ForLog("gokafka answers"), wait.ForListeningPort(port).SkipInternalCheck()),
	}, opts...)
	c, err := testcontainers.Run(ctx, image, all...)
	if c == nil {
		return nil, fmt.Errorf("run gokafka: %w", err)
	}
	started := &Container{Container: c, address: address}
	if err != nil {
		return started, fmt.Errorf("run gokafka: %w", err)
	}
	return started, nil
}

// chooseAddress finds a port that is free on this machine, and the name of the one that Docker runs on.
func chooseAddress(ctx context.Context) (string, error) {
	provider, err := testcontainers.NewDockerProvider()
	if err != nil {
		return "", fmt.Errorf("reach Docker: %w", err)
	}
	defer provider.Close()
	host, err := provider.DaemonHost(ctx)
	if err != nil {
		return "", fmt.Errorf("find Docker's host: %w", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return net.JoinHostPort(host, strconv.Itoa(l.Addr().(*net.TCPAddr).Port)), nil
}

// bind maps the broker's port to the chosen one, whatever else the options have mapped.
func bind(address string) func(*container.HostConfig) {
	_, chosen, _ := net.SplitHostPort(address)
	return func(h *container.HostConfig) {
		bindings := network.PortMap{}
		maps.Copy(bindings, h.PortBindings)
		bindings[network.MustParsePort(port)] = []network.PortBinding{{HostIP: netip.IPv4Unspecified(), HostPort: chosen}}
		h.PortBindings = bindings
	}
}

// Brokers are the addresses to give to a client.
func (c *Container) Brokers(context.Context) ([]string, error) { return []string{c.address}, nil }
