package metastore

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"time"

	"gokafka/cluster"
)

// Store reads and writes a Kafka cluster's metadata in a Tree. Its methods may be called concurrently.
//
// A method that takes a *Watcher arms a one-shot watch for the change of what it read, unless the watcher is nil.
type Store struct {
	tree Tree
}

// New returns the store of the cluster that lives in the tree.
func New(tree Tree) *Store { return &Store{tree: tree} }

// Subscribe makes the watcher hear of the session's loss and return, beside the watches set with it.
func (s *Store) Subscribe(w *Watcher) { s.tree.Subscribe(w) }

// Unsubscribe forgets the watcher and the watches set with it.
func (s *Store) Unsubscribe(w *Watcher) { s.tree.Unsubscribe(w) }

// read and write are batches of one.
func (s *Store) read(ctx context.Context, r Read) (ReadResult, error) {
	results, err := s.tree.Read(ctx, []Read{r})
	if err == nil {
		err = results[0].Err
	}
	if err != nil {
		return ReadResult{}, fmt.Errorf("read %s: %w", r.Path, err)
	}
	return results[0], nil
}

// children lists what lies below a node: nothing, as in Apache, if somebody removed the node. Then the watch is for its return.
func (s *Store) children(ctx context.Context, path string, w *Watcher) ([]string, error) {
	for {
		r, err := s.read(ctx, Read{Kind: ReadChildren, Path: path, Watch: w})
		if !errors.Is(err, ErrNoNode) {
			return r.Children, err
		}
		if w == nil {
			return nil, nil
		}
		if _, err := s.read(ctx, Read{Kind: ReadExists, Path: path, Watch: w}); errors.Is(err, ErrNoNode) {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
	}
}

func (s *Store) write(ctx context.Context, ops ...Op) ([]OpResult, error) {
	results, err := s.tree.Write(ctx, []Txn{ops})
	if err == nil {
		err = results[0].Err
	}
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", ops[len(ops)-1].Path, err)
	}
	return results[0].Ops, nil
}

// createRecursive creates a node and the parents that it misses, as Apache does: leaf first, since parents are there most of the time.
func (s *Store) createRecursive(ctx context.Context, p string, data []byte) error {
	_, err := s.write(ctx, Create(p, data, Persistent))
	if !errors.Is(err, ErrNoNode) {
		return err
	}
	if parent := path.Dir(p); parent != "/" {
		if err := s.createRecursive(ctx, parent, nil); err != nil && !errors.Is(err, ErrNodeExists) {
			return err
		}
	}
	_, err = s.write(ctx, Create(p, data, Persistent))
	return err
}

// setOrCreate replaces a node's data whatever its version, or makes the node.
func (s *Store) setOrCreate(ctx context.Context, p string, data []byte) error {
	_, err := s.write(ctx, Set(p, data, AnyVersion))
	if !errors.Is(err, ErrNoNode) {
		return err
	}
	err = s.createRecursive(ctx, p, data)
	if errors.Is(err, ErrNodeExists) {
		_, err = s.write(ctx, Set(p, data, AnyVersion))
	}
	return err
}

// Claim is a controller's term as its writes prove it: each carries a check that /controller_epoch still has this version.
type Claim struct {
	ID      cluster.BrokerID
	Epoch   cluster.ControllerEpoch
	Version int32
}

func (c Claim) check() Op { return Check(PathControllerEpoch, c.Version) }

// What one transaction of writeFenced holds at most, far below ZooKeeper's limit of 1 MiB for a request.
const (
	fencedOpsMax   = 64
	fencedBytesMax = 128 << 10
)

// writeFenced applies ops that do not depend on each other's success, each beside the claim's check. The error is ErrControllerMoved when
// the check failed for any of them; the results are those of the ops alone.
//
// Apache sends one transaction per op. Here many share one, which costs the ensemble a fraction; when one of them is refused, nothing of
// its transaction has happened, and each op is tried in its own.
func (s *Store) writeFenced(ctx context.Context, c Claim, ops []Op) ([]TxnResult, error) {
	chunks := fencedChunks(ops)
	written, err := s.writeChecked(ctx, c, chunks)
	if err != nil {
		return nil, err
	}
	results := make([]TxnResult, 0, len(ops))
	var alone [][]Op
	var index []int
	for i, chunk := range chunks {
		for j := range chunk {
			switch w := &written[i]; {
			case w.Err == nil:
				results = append(results, TxnResult{Ops: w.Ops[j : j+1]})
				continue
			case len(chunk) == 1:
				results = append(results, *w)
				continue
			}
			alone, index = append(alone, chunk[j:j+1]), append(index, len(results))
			results = append(results, TxnResult{})
		}
	}
	again, err := s.writeChecked(ctx, c, alone)
	if err != nil {
		return nil, err
	}
	for i, at := range index {
		results[at] = again[i]
	}
	return results, nil
}

// fencedChunks cuts ops, in their order, into what fits one transaction.
func fencedChunks(ops []Op) (chunks [][]Op) {
	begin, size := 0, 0
	for i, op := range ops {
		own := len(op.Path) + len(op.Data)
		if i > begin && (i-begin == fencedOpsMax || size+own > fencedBytesMax) {
			chunks, begin, size = append(chunks, ops[begin:i]), i, 0
		}
		size += own
	}
	if begin < len(ops) {
		chunks = append(chunks, ops[begin:])
	}
	return chunks
}

// writeChecked applies each list of ops in one transaction with the claim's check, whose result is left out of the answers.
func (s *Store) writeChecked(ctx context.Context, c Claim, lists [][]Op) ([]TxnResult, error) {
	if len(lists) == 0 {
		return nil, nil
	}
	txns := make([]Txn, len(lists))
	for i, ops := range lists {
		txns[i] = append(Txn{c.check()}, ops...)
	}
	results, err := s.tree.Write(ctx, txns)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", lists[0][0].Path, err)
	}
	for i := range results {
		r := &results[i]
		if r.Err != nil && r.Failed == 0 {
			return nil, fmt.Errorf("write %s: %w", lists[i][0].Path, ErrControllerMoved)
		}
		if r.Err == nil {
			r.Ops = r.Ops[1:]
		}
	}
	return results, nil
}

// deleteFenced deletes nodes without children; those that are gone already do not matter.
func (s *Store) deleteFenced(ctx context.Context, c Claim, paths []string) error {
	ops := make([]Op, len(paths))
	for i, p := range paths {
		ops[i] = Delete(p, AnyVersion)
	}
	results, err := s.writeFenced(ctx, c, ops)
	if err != nil {
		return err
	}
	for i, r := range results {
		if r.Err != nil && !errors.Is(r.Err, ErrNoNode) {
			return fmt.Errorf("delete %s: %w", paths[i], r.Err)
		}
	}
	return nil
}

// deleteTreesFenced deletes nodes and all below them, level by level from the leaves.
func (s *Store) deleteTreesFenced(ctx context.Context, c Claim, roots []string) error {
	levels := [][]string{roots}
	for len(levels[len(levels)-1]) > 0 {
		next, err := s.childPaths(ctx, levels[len(levels)-1])
		if err != nil {
			return err
		}
		levels = append(levels, next)
	}
	for _, paths := range slices.Backward(levels) {
		if err := s.deleteFenced(ctx, c, paths); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) childPaths(ctx context.Context, parents []string) ([]string, error) {
	reads := make([]Read, len(parents))
	for i, p := range parents {
		reads[i] = Read{Kind: ReadChildren, Path: p}
	}
	results, err := s.tree.Read(ctx, reads)
	if err != nil {
		return nil, fmt.Errorf("list children of %s: %w", parents[0], err)
	}
	var paths []string
	for i, r := range results {
		for _, name := range r.Children {
			paths = append(paths, parents[i]+"/"+name)
		}
	}
	return paths, nil
}

// CreatePersistentPaths makes the nodes that every broker expects, unless they exist.
func (s *Store) CreatePersistentPaths(ctx context.Context) error {
	txns := make([]Txn, len(persistentPaths))
	for i, p := range persistentPaths {
		txns[i] = Txn{Create(p, nil, Persistent)}
	}
	results, err := s.tree.Write(ctx, txns)
	if err != nil {
		return fmt.Errorf("create persistent paths: %w", err)
	}
	for i, r := range results {
		if r.Err != nil && !errors.Is(r.Err, ErrNodeExists) {
			return fmt.Errorf("create %s: %w", persistentPaths[i], r.Err)
		}
	}
	return nil
}

// EnsureClusterID returns the cluster's id; the first broker's proposal becomes it.
func (s *Store) EnsureClusterID(ctx context.Context, proposed string) (string, error) {
	err := s.createRecursive(ctx, PathClusterID, encode(clusterIDForm{Version: "1", ID: proposed}))
	if err == nil {
		return proposed, nil
	}
	if !errors.Is(err, ErrNodeExists) {
		return "", err
	}
	return s.ClusterID(ctx)
}

// ClusterID reads the cluster's id; ErrNoNode before any broker proposed one.
func (s *Store) ClusterID(ctx context.Context) (string, error) {
	r, err := s.read(ctx, Read{Path: PathClusterID})
	if err != nil {
		return "", err
	}
	var f clusterIDForm
	if err := decode(PathClusterID, r.Data, &f); err != nil {
		return "", err
	}
	if f.ID == "" {
		return "", fmt.Errorf("decode %s: no id", PathClusterID)
	}
	return f.ID, nil
}

// AllocateProducerIDs replaces the latest block of producer ids by the next one of the given size for the broker. The write is
// guarded by the block's own version and not by the claim, as in Apache. A block whose answer was lost is skipped: none is given twice.
func (s *Store) AllocateProducerIDs(ctx context.Context, broker cluster.BrokerID, size int64) (ProducerIDBlock, error) {
	for {
		block, err := s.tryAllocateProducerIDs(ctx, broker, size)
		if !errors.Is(err, ErrBadVersion) {
			return block, err
		}
	}
}

func (s *Store) tryAllocateProducerIDs(ctx context.Context, broker cluster.BrokerID, size int64) (ProducerIDBlock, error) {
	r, err := s.read(ctx, Read{Path: PathProducerIDBlock})
	if err != nil {
		return ProducerIDBlock{}, err
	}
	next := ProducerIDBlock{Broker: broker, Last: size - 1}
	if len(r.Data) > 0 {
		last, err := decodeProducerIDBlock(r.Data, r.Stat.Version)
		if err != nil {
			return ProducerIDBlock{}, err
		}
		if last.Last > maxProducerID-size {
			return ProducerIDBlock{}, fmt.Errorf("allocate producer ids: block ending at %d is the last", last.Last)
		}
		next.First, next.Last = last.Last+1, last.Last+size
	}
	results, err := s.write(ctx, Set(PathProducerIDBlock, encodeProducerIDBlock(next), r.Stat.Version))
	if err != nil {
		return ProducerIDBlock{}, err
	}
	next.Version = results[0].Stat.Version
	return next, nil
}

const maxProducerID = 1<<63 - 1

// EnsureFeatures writes the empty set of finalized features, enabled, unless the node says so already (KIP-584). A node that cannot be
// understood is left alone: ErrUnreadable.
func (s *Store) EnsureFeatures(ctx context.Context) error {
	r, err := s.read(ctx, Read{Path: PathFeature})
	fresh := featureForm{Features: map[string]featureLevel{}, Version: 2, Status: featuresEnabled}
	if errors.Is(err, ErrNoNode) {
		return s.createRecursive(ctx, PathFeature, encode(fresh))
	}
	if err != nil {
		return err
	}
	var f featureForm
	if err := decode(PathFeature, r.Data, &f); err != nil {
		return fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	if f.Status == featuresEnabled {
		return nil
	}
	_, err = s.write(ctx, Set(PathFeature, encode(fresh), r.Stat.Version))
	return err
}

// ConsumerOffset reads an offset that an OffsetCommit v0 stored; ErrNoNode when there is none.
func (s *Store) ConsumerOffset(ctx context.Context, group, topic string, partition int32) (int64, error) {
	p := pathConsumerOffset(group, topic, partition)
	r, err := s.read(ctx, Read{Path: p})
	if err != nil {
		return 0, err
	}
	offset, err := strconv.ParseInt(string(r.Data), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("decode %s: %w", p, err)
	}
	return offset, nil
}

// SetConsumerOffset stores an offset of an OffsetCommit v0.
func (s *Store) SetConsumerOffset(ctx context.Context, group, topic string, partition int32, offset int64) error {
	return s.setOrCreate(ctx, pathConsumerOffset(group, topic, partition), strconv.AppendInt(nil, offset, 10))
}

// announce adds a node to a notification directory, and makes that again if somebody removed it.
func (s *Store) announce(ctx context.Context, dir, prefix string, data []byte) error {
	_, err := s.write(ctx, Create(dir+"/"+prefix, data, PersistentSequential))
	if !errors.Is(err, ErrNoNode) {
		return err
	}
	if err := s.createRecursive(ctx, dir, nil); err != nil && !errors.Is(err, ErrNodeExists) {
		return err
	}
	_, err = s.write(ctx, Create(dir+"/"+prefix, data, PersistentSequential))
	return err
}

// purgeSequential deletes those of the sequential nodes that are older than the age, and of which every broker has long heard.
func (s *Store) purgeSequential(ctx context.Context, nodes []sequential, now time.Time, age time.Duration) error {
	var txns []Txn
	for _, n := range nodes {
		if now.UnixMilli()-n.ctime > age.Milliseconds() {
			txns = append(txns, Txn{Delete(n.path, AnyVersion)})
		}
	}
	_, err := s.tree.Write(ctx, txns)
	return err
}

// sequential is one node of a notification directory.
type sequential struct {
	path     string
	sequence int64
	ctime    int64
	data     []byte
}

// sequentials reads a notification directory in the order of its numbers, skipping nodes that went away meanwhile.
func (s *Store) sequentials(ctx context.Context, dir, prefix string, w *Watcher) ([]sequential, error) {
	names, err := s.children(ctx, dir, w)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	var nodes []sequential
	var reads []Read
	for _, name := range names {
		if n, ok := sequenceOf(name, prefix); ok {
			nodes = append(nodes, sequential{path: dir + "/" + name, sequence: n})
			reads = append(reads, Read{Path: dir + "/" + name})
		}
	}
	results, err := s.tree.Read(ctx, reads)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", dir, err)
	}
	found := nodes[:0]
	for i, r := range results {
		if r.Err == nil {
			nodes[i].data, nodes[i].ctime = r.Data, r.Stat.Ctime
			found = append(found, nodes[i])
		}
	}
	slices.SortFunc(found, func(a, b sequential) int { return int(a.sequence - b.sequence) })
	return found, nil
}
