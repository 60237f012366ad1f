package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
)

// Broker holds a broker's settings in all their layers. Reading is free of locks; its methods may be called concurrently.
type Broker struct {
	defaults map[string]string // what stands in for the table's defaults here
	static   map[string]string
	warnings []string
	id       atomic.Int32
	current  atomic.Pointer[Values]

	mu             sync.Mutex // guards the three below
	dynamicDefault map[string]string
	dynamicBroker  map[string]string
	subscribers    []func(old, new *Values)
}

// newBroker parses and checks the static layer.
func newBroker(defaults, static map[string]string) (*Broker, error) {
	if err := pairIDs(static); err != nil {
		return nil, err
	}
	b := &Broker{defaults: defaults, static: static}
	values, err := b.parse(nil, nil)
	if err != nil {
		return nil, err
	}
	b.current.Store(values)
	b.id.Store(int32(values.Int("broker.id")))
	return b, nil
}

// Current is the settings in effect now.
func (b *Broker) Current() *Values { return b.current.Load() }

// ID is broker.id; -1 until one was assigned.
func (b *Broker) ID() int32 { return b.id.Load() }

// SetID sets the id that was assigned to a broker that was configured without.
func (b *Broker) SetID(id int32) { b.id.Store(id) }

// Standalone reports whether the broker is a cluster of its own, with a store in its process instead of ZooKeeper.
func (b *Broker) Standalone() bool { return b.Current().String("zookeeper.connect") == "" }

// LogDirs are the directories of the logs.
func (b *Broker) LogDirs() []string { return b.Current().logDirs() }

// Network is the listener settings in effect now.
func (b *Broker) Network() *Network {
	n, _ := b.Current().ParseNetwork() // was checked when the values were made
	return n
}

// Warnings says what of the configuration is unknown or without effect.
func (b *Broker) Warnings() []string { return b.warnings }

// Subscribe makes f hear of every change of the values, after it took effect. It is called by whoever calls ApplyDefault or
// ApplyBroker, one change at a time.
func (b *Broker) Subscribe(f func(old, new *Values)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.subscribers = append(b.subscribers, f)
}

// parse makes values of the static layer and the given dynamic ones, and cross-checks them.
func (b *Broker) parse(dynamicDefault, dynamicBroker map[string]string) (*Values, error) {
	props := maps.Clone(b.static)
	override(props, dynamicDefault)
	override(props, dynamicBroker)
	v, err := parseValues(brokers, b.defaults, props)
	if err != nil {
		return nil, err
	}
	return v, v.crossCheck()
}

// override lays a dynamic layer over another. A setting drives out what says the same in another unit, even if that would come first.
func override(props, over map[string]string) {
	for name, value := range over {
		for _, s := range brokerSynonyms(name, false) {
			delete(props, s)
		}
		props[name] = value
	}
}

// layStatic lays one static layer over another. A setting drives out what earlier layers say in another unit, as in override; but
// log.flush.interval.ms leaves log.flush.scheduler.interval.ms alone, and within the layer the finest unit counts, as in one file.
func layStatic(props, over map[string]string) {
	for name := range over {
		for _, s := range units(name) {
			delete(props, s)
		}
	}
	maps.Copy(props, over)
}

// pairIDs makes broker.id and node.id one.
func pairIDs(props map[string]string) error {
	broker, hasBroker := props["broker.id"]
	node, hasNode := props["node.id"]
	switch {
	case hasBroker && hasNode && trim(broker) != trim(node):
		return fmt.Errorf("You must set `node.id` to the same value as `broker.id`.")
	case hasNode:
		props["broker.id"] = node
	case hasBroker:
		props["node.id"] = broker
	}
	return nil
}

// ApplyDefault makes the dynamic layer for all brokers what the store holds of it. What is wrong in it is left out and
// reported; the rest counts.
func (b *Broker) ApplyDefault(stored map[string]string) error {
	props, refused := b.Decode(stored, false)
	err := b.apply(func() { b.dynamicDefault = props })
	if err != nil {
		return fmt.Errorf("apply cluster default configs: %w", err)
	}
	return refused
}

// ApplyBroker is ApplyDefault for the layer of this broker.
func (b *Broker) ApplyBroker(stored map[string]string) error {
	props, refused := b.Decode(stored, true)
	err := b.apply(func() { b.dynamicBroker = props })
	if err != nil {
		return fmt.Errorf("apply configs of broker %d: %w", b.ID(), err)
	}
	return refused
}

// apply swaps a layer and tells the subscribers. When the layers together make no valid configuration, the values stay as they were.
func (b *Broker) apply(swap func()) error {
	b.mu.Lock()
	swap()
	next, err := b.parse(b.dynamicDefault, b.dynamicBroker)
	old := b.current.Load()
	subscribers := slices.Clone(b.subscribers)
	changed := err == nil && !maps.Equal(old.given, next.given)
	if changed {
		b.current.Store(next)
	}
	b.mu.Unlock()
	if !changed {
		return err
	}
	for _, f := range subscribers {
		f(old, next)
	}
	return nil
}

// layers returns the dynamic layers as they are now: for this broker, for all.
func (b *Broker) layers() (broker, all map[string]string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dynamicBroker, b.dynamicDefault
}

// IsID reports whether the name of a broker resource means this broker.
func (b *Broker) IsID(name string) (bool, error) {
	id, err := strconv.ParseInt(name, 10, 32)
	return err == nil && int32(id) == b.ID(), err
}
