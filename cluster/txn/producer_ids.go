package txn

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
)

// errNoBlock makes producers try again: the controller is moving, or slow.
var errNoBlock = fmt.Errorf("no producer ids at the moment: %w", kerr.CoordinatorLoadInProgress)

// blocks reserves runs of producer ids: the controller, which records in ZooKeeper how far they are given away.
type blocks interface {
	// AllocateProducerIDs reserves count ids from first on for this broker.
	AllocateProducerIDs(ctx context.Context) (first int64, count int32, err error)
}

// ProducerIDs hands out producer ids, each once in the cluster. It takes them from blocks, so that a new producer rarely
// waits for the controller; what is left of a block when the broker stops is lost.
type ProducerIDs struct {
	blocks    blocks
	turn      chan struct{} // holds one token; who has it may use what follows
	next, end int64
}

// NewProducerIDs returns ids out of blocks. None is taken before the first id is wanted.
func NewProducerIDs(b blocks) *ProducerIDs {
	p := &ProducerIDs{blocks: b, turn: make(chan struct{}, 1)}
	p.turn <- struct{}{}
	return p
}

// Next returns the next id, and waits for the controller when the block is used up.
func (p *ProducerIDs) Next(ctx context.Context) (int64, error) {
	select {
	case <-p.turn:
	case <-ctx.Done():
		return 0, fmt.Errorf("next producer id: %w", ctx.Err())
	}
	defer func() { p.turn <- struct{}{} }()
	if p.next == p.end {
		first, count, err := p.blocks.AllocateProducerIDs(ctx)
		if err != nil {
			return 0, fmt.Errorf("%w: allocate producer ids: %w", errNoBlock, err)
		}
		p.next, p.end = first, first+int64(count)
	}
	id := p.next
	p.next++
	return id, nil
}
