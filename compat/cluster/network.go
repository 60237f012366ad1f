package cluster

import (
	"fmt"
	"testing"

	"gokafka/compat/process"
	"gokafka/compat/proxy"
)

// network is what lies between the brokers, and between them and ZooKeeper. Clients go around it: they reach a broker that is cut
// off from all others, which is where a broker that believes in its leadership would do harm.
type network struct {
	peers     map[int32]*proxy.Proxy // in front of each broker, where the others find it
	zookeeper map[int32]*proxy.Proxy // each broker's way to ZooKeeper
}

// StartOnNetwork is Start with a network that can be cut.
func StartOnNetwork(t *testing.T, n int32, own map[string]string) *Cluster {
	t.Helper()
	c := prepare(t)
	c.network = &network{peers: map[int32]*proxy.Proxy{}, zookeeper: map[int32]*proxy.Proxy{}}
	c.begin(n, own)
	return c
}

// properties have a broker listen for its peers behind a proxy, and look for ZooKeeper behind another.
func (n *network) properties(t *testing.T, id int32, clients, zookeeper string) map[string]string {
	t.Helper()
	peers, err := process.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	if n.peers[id], err = proxy.Start(peers, proxy.KafkaBroker); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.peers[id].Close)
	if n.zookeeper[id], err = proxy.Start(zookeeper, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.zookeeper[id].Close)
	return map[string]string{
		"zookeeper.connect":              n.zookeeper[id].Addr() + "/cluster",
		"listeners":                      fmt.Sprintf("CLIENTS://%s,BROKERS://%s", clients, peers),
		"advertised.listeners":           fmt.Sprintf("CLIENTS://%s,BROKERS://%s", clients, n.peers[id].Addr()),
		"listener.security.protocol.map": "CLIENTS:PLAINTEXT,BROKERS:PLAINTEXT",
		"inter.broker.listener.name":     "BROKERS",
	}
}

// between sets what happens to connections that one broker makes to another.
func (n *network) between(from, to int32, f proxy.Fault) { n.peers[to].Set(fmt.Sprint(from), f) }

// heal ends all faults. What was held arrives late, or is lost with its connections.
func (n *network) heal(lose bool) {
	for id := range n.peers {
		if lose {
			n.peers[id].Break()
			n.zookeeper[id].Break()
		}
		n.peers[id].Heal()
		n.zookeeper[id].Heal()
	}
}
