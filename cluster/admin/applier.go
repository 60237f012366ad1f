package admin

import (
	"context"
	"errors"
	"sync"

	"github.com/rs/zerolog"

	"gokafka/cluster"
	"gokafka/cluster/config"
	"gokafka/cluster/metastore"
)

// ApplierOptions say who uses changed settings. The functions are called by one goroutine, one at a time.
type ApplierOptions struct {
	Admin *Admin
	// Topics lists the topics whose settings matter to this broker: those that it has replicas of.
	Topics func() []string
	// OnTopic hears of a topic's settings after they changed, or after the broker's that stand behind them did.
	OnTopic func(topic string, v *config.Values)
	Logger  zerolog.Logger
}

// Applier follows the change notifications in the store: it keeps the dynamic layers of the broker's settings what the store
// holds, and tells of changed topics. It reads all again after the session was lost, since notifications may be gone by then.
type Applier struct {
	ApplierOptions
	watcher *metastore.Watcher
	last    int64 // sequence number of the last notification that was acted on
	lost    bool  // the session expired, and no new one is there yet
	cancel  context.CancelFunc
	done    sync.WaitGroup
}

// NewApplier returns an Applier that does nothing before Load or Start.
func NewApplier(o ApplierOptions) *Applier {
	return &Applier{ApplierOptions: o, watcher: metastore.NewWatcher(), last: -1}
}

// Load reads both dynamic layers of the broker's settings. What is wrong in them is logged and does not count.
func (p *Applier) Load(ctx context.Context) error {
	id := cluster.BrokerID(p.Admin.Config.ID())
	layers, err := p.Admin.Store.Configs(ctx, []metastore.Entity{metastore.DefaultBrokers, metastore.BrokerEntity(id)})
	if err != nil {
		return err
	}
	for i, apply := range []func(map[string]string) error{p.Admin.Config.ApplyDefault, p.Admin.Config.ApplyBroker} {
		if err := errors.Join(layers[i].Err, apply(layers[i].Config)); err != nil {
			p.Logger.Error().Err(err).Msg("dynamic settings of the broker are wrong in part")
		}
	}
	return nil
}

// Start follows changes until Stop.
func (p *Applier) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	p.Admin.Store.Subscribe(p.watcher)
	p.done.Go(func() { p.loop(ctx) })
}

// Stop ends following and waits for what is being applied.
func (p *Applier) Stop() {
	p.Admin.Store.Unsubscribe(p.watcher)
	p.cancel()
	p.done.Wait()
}

func (p *Applier) loop(ctx context.Context) {
	p.follow(ctx)
	for {
		select {
		case <-p.watcher.Ready():
		case <-ctx.Done():
			return
		}
		for _, e := range p.watcher.Take() {
			p.session(ctx, e.Type)
		}
		p.follow(ctx)
	}
}

// session reads everything again when a new session begins.
func (p *Applier) session(ctx context.Context, e metastore.EventType) {
	switch {
	case e == metastore.SessionExpired:
		p.lost = true
	case e == metastore.SessionConnected && p.lost:
		p.lost = false
		p.reload(ctx)
		p.tell(ctx, p.Topics())
	}
}

// follow acts on the notifications that came since the last time.
func (p *Applier) follow(ctx context.Context) {
	changes, err := p.Admin.Store.ConfigChanges(ctx, p.last, p.watcher)
	if err != nil && ctx.Err() == nil {
		p.Logger.Error().Err(err).Msg("notifications of changed settings could not be read")
	}
	var topics []string
	for _, c := range changes {
		p.last = c.Sequence
		switch {
		case c.Err != nil:
			p.Logger.Warn().Err(c.Err).Msg("a notification of changed settings is unreadable")
		case c.Entity.Type() == "topics":
			topics = append(topics, c.Entity.Name())
		case c.Entity == metastore.DefaultBrokers, c.Entity == metastore.BrokerEntity(cluster.BrokerID(p.Admin.Config.ID())):
			p.reload(ctx)
		}
	}
	p.tell(ctx, topics)
}

// reload applies the broker's layers, and tells of all topics when that changed what stands behind theirs.
func (p *Applier) reload(ctx context.Context) {
	before := p.Admin.Config.Current()
	if err := p.Load(ctx); err != nil {
		p.Logger.Error().Err(err).Msg("dynamic settings of the broker could not be read")
		return
	}
	if p.Admin.Config.Current() != before {
		p.tell(ctx, p.Topics())
	}
}

func (p *Applier) tell(ctx context.Context, topics []string) {
	if len(topics) == 0 {
		return
	}
	values, err := p.Admin.TopicValues(ctx, topics)
	if err != nil {
		p.Logger.Error().Err(err).Msg("settings of topics are wrong, they stay as they were")
	}
	for i, v := range values {
		if v != nil {
			p.OnTopic(topics[i], v)
		}
	}
}
