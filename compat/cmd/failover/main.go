// Failover measures by hand how long partitions are without a leader: three gokafka processes in a real ZooKeeper, one of them ended in
// some way, and the others asked all the time what they lead.
//
//	go run ./cmd/failover [-partitions 1000] [-session 6s] [-how kill|controller|stop|pause] [-keep]
//
// kill ends the leader of all partitions with SIGKILL, controller the controller of a cluster whose partitions are spread; stop ends
// the leader with SIGTERM under a load with acks=all; pause holds a broker beyond its session and measures how soon it is back.
// The machine must have nothing else to do.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/compat/apache"
	"gokafka/compat/gokafka"
)

const (
	brokers = 3
	topic   = "failover"
	patient = 2 * time.Minute
)

func main() {
	how := flag.String("how", "kill", "kill, controller, stop or pause")
	partitions := flag.Int("partitions", 1000, "partitions of the topic, with three replicas each")
	session := flag.Duration("session", 6*time.Second, "zookeeper.session.timeout.ms")
	keep := flag.Bool("keep", false, "keep the directory and print its name")
	flag.Parse()
	if err := run(*how, int32(*partitions), *session, *keep); err != nil {
		fmt.Fprintln(os.Stderr, "failover:", err)
		os.Exit(1)
	}
}

func run(how string, partitions int32, session time.Duration, keep bool) error {
	dir, err := os.MkdirTemp("", "gokafka-failover-")
	if err != nil {
		return fmt.Errorf("create directory: %w", err)
	}
	if keep {
		say("directory %s", dir)
	} else {
		defer os.RemoveAll(dir)
	}
	r, err := begin(dir, session)
	if r != nil {
		defer r.close()
	}
	if err != nil {
		return err
	}
	if err := r.create(partitions, how != "controller"); err != nil {
		return err
	}
	switch how {
	case "kill":
		return r.kill(1)
	case "controller":
		id, err := r.controller()
		if err != nil {
			return err
		}
		return r.kill(id)
	case "stop":
		return r.stop(1)
	case "pause":
		return r.pause(1)
	}
	return fmt.Errorf("-how %s: not known", how)
}

// rig is a cluster and a client of each of its brokers.
type rig struct {
	session    time.Duration
	zookeeper  *apache.ZooKeeper
	brokers    map[int32]*gokafka.Broker
	clients    map[int32]*kgo.Client
	admin      *kadm.Client
	partitions int32
}

func begin(dir string, session time.Duration) (*rig, error) {
	z, err := apache.StartZooKeeper(filepath.Join(dir, "zookeeper"))
	if err != nil {
		return nil, err
	}
	r := &rig{session: session, zookeeper: z, brokers: map[int32]*gokafka.Broker{}, clients: map[int32]*kgo.Client{}}
	var addrs []string
	for id := int32(1); id <= brokers; id++ {
		b, err := gokafka.Start(gokafka.Options{Dir: filepath.Join(dir, fmt.Sprint("broker-", id)), Properties: map[string]string{
			"broker.id": fmt.Sprint(id), "zookeeper.connect": z.Addr + "/failover", "zookeeper.session.timeout.ms": fmt.Sprint(session.Milliseconds()),
			"auto.leader.rebalance.enable": "false", "min.insync.replicas": "2"}})
		if err != nil {
			return r, err
		}
		r.brokers[id] = b
		addrs = append(addrs, b.Addr())
		if r.clients[id], err = kgo.NewClient(kgo.SeedBrokers(b.Addr())); err != nil {
			return r, err
		}
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(addrs...))
	if err != nil {
		return r, err
	}
	r.admin = kadm.NewClient(client)
	return r, nil
}

func (r *rig) close() {
	if r.admin != nil {
		r.admin.Close()
	}
	for id, b := range r.brokers {
		if c := r.clients[id]; c != nil {
			c.Close()
		}
		b.Close()
	}
	r.zookeeper.Stop()
}

func (r *rig) addrs() []string {
	var all []string
	for _, b := range r.brokers {
		all = append(all, b.Addr())
	}
	return all
}

// create makes the topic: led by broker 1 alone, or spread.
func (r *rig) create(partitions int32, alone bool) error {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = int32(patient.Milliseconds())
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = topic, -1, -1
	for p := range partitions {
		a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
		a.Partition, a.Replicas = p, []int32{1, 2 + p%2, 3 - p%2}
		if !alone {
			a.Replicas = []int32{1 + p%3, 1 + (p+1)%3, 1 + (p+2)%3}
		}
		t.ReplicaAssignment = append(t.ReplicaAssignment, a)
	}
	req.Topics = append(req.Topics, t)
	began := time.Now()
	client, err := kgo.NewClient(kgo.SeedBrokers(r.addrs()...), kgo.RequestTimeoutOverhead(patient))
	if err != nil {
		return err
	}
	defer client.Close()
	resp, err := req.RequestWith(context.Background(), client)
	if err != nil {
		return fmt.Errorf("create topic: %w", err)
	}
	if message := resp.Topics[0].ErrorMessage; resp.Topics[0].ErrorCode != 0 {
		return fmt.Errorf("create topic: code %d, %v", resp.Topics[0].ErrorCode, message)
	}
	say("%d partitions created, answered after %v", partitions, since(began))
	r.partitions = partitions
	ids := []int32{1, 2, 3}
	if _, err := r.awaitLed(ids, began); err != nil {
		return err
	}
	if err := r.awaitInSync(ids); err != nil {
		return err
	}
	say("all led and in sync %v after the request", since(began))
	time.Sleep(2 * time.Second) // what was begun with them comes to rest
	return nil
}

func (r *rig) controller() (int32, error) {
	m, err := r.admin.BrokerMetadata(context.Background())
	return m.Controller, err
}

// kill ends a broker and waits until the others lead everything.
func (r *rig) kill(id int32) error {
	was, err := r.controller()
	if err != nil {
		return err
	}
	rest := r.others(id)
	began := time.Now()
	r.brokers[id].Kill()
	say("killed broker %d, controller was %d", id, was)
	took, err := r.awaitLed(rest, began)
	if err != nil {
		return err
	}
	say("all %d led %v after the kill, %v beyond the session", r.partitions, took.Round(time.Millisecond), (took - r.session).Round(time.Millisecond))
	return nil
}

func (r *rig) others(id int32) (ids []int32) {
	for other := int32(1); other <= brokers; other++ {
		if other != id {
			ids = append(ids, other)
		}
	}
	return ids
}

// stop ends a broker in order, and looks for the longest time that any partition was led by nobody.
func (r *rig) stop(id int32) error {
	l, err := startLoad(r.addrs())
	if err != nil {
		return err
	}
	time.Sleep(2 * time.Second)
	w := r.watch([]int32{1, 2, 3})
	time.Sleep(time.Second)
	began := time.Now()
	if err := r.brokers[id].Stop(); err != nil {
		return err
	}
	say("broker %d stopped within %v", id, since(began))
	time.Sleep(time.Second)
	longest, looked := w.end()
	sent, failed := l.end()
	say("longest time without a leader %v, each broker asked every %v; %d records acknowledged, %d failed",
		longest.Round(time.Millisecond), looked.Round(time.Millisecond), sent, failed)
	return nil
}

// pause holds a broker beyond its session.
func (r *rig) pause(id int32) error {
	pid := r.brokers[id].PID()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return err
	}
	began := time.Now()
	took, err := r.awaitLed(r.others(id), began)
	if err != nil {
		return err
	}
	say("all led by others %v after SIGSTOP, %v beyond the session", took.Round(time.Millisecond), (took - r.session).Round(time.Millisecond))
	time.Sleep(time.Second)
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		return err
	}
	began = time.Now()
	if err := r.awaitAlive(r.others(id), brokers); err != nil {
		return err
	}
	say("registered again %v after SIGCONT", since(began))
	if err := r.awaitInSync([]int32{1, 2, 3}); err != nil {
		return err
	}
	say("in sync again %v after SIGCONT", since(began))
	return nil
}

func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s "+format+"\n", append([]any{time.Now().Format("15:04:05.000")}, args...)...)
}

func since(t time.Time) time.Duration { return time.Since(t).Round(time.Millisecond) }

// join is for messages.
func join(ids []int32) string { return strings.Trim(fmt.Sprint(ids), "[]") }
