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
	errs := a.markForDeletion(ctx, names)
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

func (a *Admin) markForDeletion(ctx context.Context, names []string) []error {
	errs, err := a.Store.MarkTopicsForDeletion(ctx, names)
	if err != nil {
		return fill(make([]error, len(names)), err)
	}
	for i, err := range errs {
		if errors.Is(err, metastore.ErrNoNode) {
			errs[i] = refuse(kerr.UnknownTopicOrPartition, "Topic `%s` to delete does not exist", names[i])
		}
	}
	return errs
}
