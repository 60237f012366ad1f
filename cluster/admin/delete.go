package admin

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/cluster/metastore"
)

// DeleteTopics marks topics for deletion and waits until this broker knows them no more, or the timeout. The errors are in the
// order of the names; a topic that is marked already is waited for all the same.
func (a *Admin) DeleteTopics(ctx context.Context, names []string, timeout time.Duration) []error {
	errs := make([]error, len(names))
	for i, name := range names {
		errs[i] = a.markForDeletion(ctx, name)
	}
	pending := func(m *cluster.Metadata) int {
		n := 0
		for i, name := range names {
			if errs[i] == nil && m.Topic(name) != nil {
				n++
			}
		}
		return n
	}
	if timeout > 0 && pending(a.Image.Metadata()) > 0 {
		a.await(ctx, timeout, func(m *cluster.Metadata) bool { return pending(m) == 0 })
	}
	m := a.Image.Metadata()
	for i, name := range names {
		if errs[i] == nil && (timeout <= 0 || m.Topic(name) != nil) {
			errs[i] = errTimedOut
		}
	}
	return errs
}

func (a *Admin) markForDeletion(ctx context.Context, name string) error {
	exists, err := a.Store.TopicExists(ctx, name)
	if err != nil {
		return err
	}
	if !exists {
		return refuse(kerr.UnknownTopicOrPartition, "Topic `%s` to delete does not exist", name)
	}
	err = a.Store.MarkTopicForDeletion(ctx, name)
	if errors.Is(err, metastore.ErrNodeExists) {
		return nil
	}
	return err
}
