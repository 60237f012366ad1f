package metastore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.etcd.io/bbolt"
)

// file keeps the persistent nodes in a bbolt database: one key per path, and the last zxid. bbolt's commit is atomic over a power cut
// (two syncs, the second of one checksummed page), so that a batch is there as a whole or not at all.
//
// A value is: format (1 byte, 1), then as varints czxid, mzxid, ctime, mtime, version, children ever created; the rest is the data.
type file struct{ db *bbolt.DB }

var (
	nodesBucket = []byte("nodes")
	metaBucket  = []byte("meta")
	zxidKey     = []byte("zxid")
)

const (
	nodeFormat   = 1
	lockTimeout  = time.Second
	numberFields = 6
)

// errCorrupt says that the file is a bbolt database but not one of ours.
var errCorrupt = errors.New("file is not a metadata store, or damaged")

// openFile opens or creates the database and fills the set with its nodes.
func openFile(path string, nodes *nodeSet) (*file, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType})
	if errors.Is(err, bbolt.ErrTimeout) {
		return nil, fmt.Errorf("in use by another process: %w", err)
	}
	if err != nil {
		return nil, err
	}
	f := &file{db: db}
	if err := f.load(nodes); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return f, nil
}

func (f *file) load(nodes *nodeSet) error {
	found := false
	err := f.db.View(func(tx *bbolt.Tx) error {
		b, meta := tx.Bucket(nodesBucket), tx.Bucket(metaBucket)
		if b == nil || meta == nil {
			return nil
		}
		found = true
		zxid, n := binary.Varint(meta.Get(zxidKey))
		if n <= 0 {
			return fmt.Errorf("%w: no zxid", errCorrupt)
		}
		nodes.zxid = zxid
		return b.ForEach(func(k, v []byte) error { return nodes.load(string(k), v) })
	})
	if err != nil || found {
		return err
	}
	return f.store(nodes, nil) // makes the buckets
}

// load adds a node that was read from the file. Keys come in order, so that a parent precedes its children.
func (t *nodeSet) load(p string, value []byte) error {
	n, err := decodeNode(value)
	if err != nil {
		return fmt.Errorf("%w: node %q", err, p)
	}
	if p == "/" {
		t.byPath[p] = n
		return nil
	}
	if !validPath(p) {
		return fmt.Errorf("%w: node %q", errCorrupt, p)
	}
	dir, name := splitPath(p)
	parent := t.byPath[dir]
	if parent == nil {
		return fmt.Errorf("%w: node %q has no parent", errCorrupt, p)
	}
	parent.addChild(name)
	t.byPath[p] = n
	return nil
}

// store brings the dirty paths to the disk as they stand in the set, and the zxid, in one transaction.
func (f *file) store(nodes *nodeSet, dirty map[string]struct{}) error {
	return f.db.Update(func(tx *bbolt.Tx) error {
		meta, err := tx.CreateBucketIfNotExists(metaBucket)
		if err != nil {
			return err
		}
		if err := meta.Put(zxidKey, binary.AppendVarint(nil, nodes.zxid)); err != nil {
			return err
		}
		b, err := tx.CreateBucketIfNotExists(nodesBucket)
		if err != nil {
			return err
		}
		return storeNodes(b, nodes, slices.Sorted(maps.Keys(dirty)))
	})
}

func storeNodes(b *bbolt.Bucket, nodes *nodeSet, paths []string) error {
	for _, p := range paths {
		n := nodes.byPath[p]
		if n == nil || n.stat.EphemeralOwner != 0 {
			if err := b.Delete([]byte(p)); err != nil {
				return err
			}
			continue
		}
		if err := b.Put([]byte(p), encodeNode(n)); err != nil {
			return err
		}
	}
	return nil
}

func (f *file) close() error { return f.db.Close() }

func encodeNode(n *node) []byte {
	b := make([]byte, 1, 1+numberFields*binary.MaxVarintLen64+len(n.data))
	b[0] = nodeFormat
	for _, v := range [numberFields]int64{n.stat.Czxid, n.stat.Mzxid, n.stat.Ctime, n.stat.Mtime, int64(n.stat.Version), int64(n.created)} {
		b = binary.AppendVarint(b, v)
	}
	return append(b, n.data...)
}

func decodeNode(b []byte) (*node, error) {
	if len(b) == 0 || b[0] != nodeFormat {
		return nil, fmt.Errorf("%w: unknown format", errCorrupt)
	}
	b = b[1:]
	var v [numberFields]int64
	for i := range v {
		n := 0
		if v[i], n = binary.Varint(b); n <= 0 {
			return nil, fmt.Errorf("%w: short node", errCorrupt)
		}
		b = b[n:]
	}
	return &node{data: slices.Clone(b), created: int32(v[5]), stat: Stat{Czxid: v[0], Mzxid: v[1], Ctime: v[2], Mtime: v[3], Version: int32(v[4])}}, nil
}
