package log

import (
	"sync"

	"gokafka/protocol"
)

// claims let one caller at a time create or delete a partition's log. It is not one lock for all, since a disk that hangs would keep it.
type claims struct {
	mu   sync.Mutex
	held map[protocol.TopicPartition]chan struct{} // closed when it is released
}

// take waits until nobody else has any of the partitions. It takes all or none, so that two callers never wait for each other.
func (c *claims) take(tps ...protocol.TopicPartition) (release func()) {
	mine := make(chan struct{})
	for other := c.try(tps, mine); other != nil; other = c.try(tps, mine) {
		<-other
	}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, tp := range tps {
			delete(c.held, tp)
		}
		close(mine)
	}
}

// try takes the partitions, or returns what to wait for.
func (c *claims) try(tps []protocol.TopicPartition, mine chan struct{}) (other chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, tp := range tps {
		if other := c.held[tp]; other != nil {
			return other
		}
	}
	for _, tp := range tps {
		c.held[tp] = mine
	}
	return nil
}
