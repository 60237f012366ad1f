package handlers

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
	"gokafka/cluster/config"
)

// comingImage is the image of a broker that is told of the cluster some time after it has started.
type comingImage struct {
	now   atomic.Pointer[cluster.Metadata]
	after time.Duration
}

func (c *comingImage) Metadata() *cluster.Metadata { return c.now.Load() }

func (c *comingImage) AwaitMetadata(ctx context.Context, satisfied func(*cluster.Metadata) bool) error {
	select {
	case <-time.After(c.after):
	case <-ctx.Done():
		return ctx.Err()
	}
	m, _ := c.Metadata().With(&cluster.UpdateMetadataRequest{ControllerID: 2, LiveBrokers: []cluster.Broker{
		{ID: 2, Endpoints: []cluster.Endpoint{{Listener: "PLAINTEXT", Host: "h", Port: 1}}}}})
	c.now.Store(m)
	if !satisfied(m) {
		panic("told of a controller, and not content")
	}
	return nil
}

// A client that reaches a broker in the moment between its start and its first word from the controller is not told that there are no
// brokers.
func TestMetadataWaitsForTheController(t *testing.T) {
	cfg, err := config.Load(config.Sources{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name        string
		after, want time.Duration
		brokers     int
	}{
		{"soon", 20 * time.Millisecond, 20 * time.Millisecond, 1},
		{"never", time.Hour, toldPatience, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				image := &comingImage{after: c.after}
				image.now.Store(cluster.NewMetadata("c"))
				began := time.Now()
				req := kmsg.NewPtrMetadataRequest()
				req.Version = 12
				resp := call[*kmsg.MetadataResponse](t, metadata(cfg, image, nil), req)
				if took := time.Since(began); took != c.want || len(resp.Brokers) != c.brokers {
					t.Errorf("%d brokers after %v, want %d after %v", len(resp.Brokers), took, c.brokers, c.want)
				}
				image = &comingImage{after: c.after}
				image.now.Store(cluster.NewMetadata("c"))
				described := call[*kmsg.DescribeClusterResponse](t, describeCluster(image), kmsg.NewPtrDescribeClusterRequest())
				if len(described.Brokers) != c.brokers {
					t.Errorf("%d brokers described, want %d", len(described.Brokers), c.brokers)
				}
			})
		})
	}
}
