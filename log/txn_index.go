package log

import (
	"encoding/binary"
	"fmt"
	"sort"
	"sync"

	"gokafka/log/vfs"
)

const (
	txnEntrySize    = 34
	txnEntryVersion = 0
)

// abortedTxn is an entry of a transaction index.
type abortedTxn struct {
	producerID       int64
	first, last      int64 // last is the marker's offset
	lastStableOffset int64 // after the marker
}

// TxnIndex lists the transactions that were aborted by a marker in the segment, in the order of the markers. The file exists only if there is
// one. It is small and never cached: each call reads what it needs.
type TxnIndex struct {
	file *file

	mu    sync.RWMutex
	count int
}

func newTxnIndex(f *file) *TxnIndex { return &TxnIndex{file: f} }

// adopt takes over the file, if there is one, and checks it: unlike the others this index is used without a look at the log.
func (x *TxnIndex) adopt() error {
	size, err := x.file.size()
	if err != nil {
		return ignoreMissing(err)
	}
	if size%txnEntrySize != 0 {
		return &CorruptError{File: x.file.path(), Position: size, Err: fmt.Errorf("size is not a multiple of %d", txnEntrySize)}
	}
	x.count = int(size / txnEntrySize)
	last := int64(-1)
	return x.file.use(func(file vfs.File) error {
		for i := range x.count {
			e, err := readTxnEntry(file, i)
			if err != nil {
				return err
			}
			if e.last <= last || e.last < x.file.base || e.first >= e.last {
				return &CorruptError{File: x.file.path(), Position: int64(i * txnEntrySize), Err: fmt.Errorf("entry %+v is out of order", e)}
			}
			last = e.last
		}
		return nil
	})
}

func readTxnEntry(file vfs.File, i int) (e abortedTxn, err error) {
	var b [txnEntrySize]byte
	if _, err := file.ReadAt(b[:], int64(i*txnEntrySize)); err != nil {
		return e, fmt.Errorf("read transaction index: %w", err)
	}
	if v := binary.BigEndian.Uint16(b[:]); v > txnEntryVersion {
		return e, &CorruptError{File: "transaction index", Position: int64(i * txnEntrySize), Err: fmt.Errorf("version %d is not known", v)}
	}
	return decodeTxnEntry(b[:]), nil
}

func decodeTxnEntry(b []byte) abortedTxn {
	return abortedTxn{
		producerID:       int64(binary.BigEndian.Uint64(b[2:])),
		first:            int64(binary.BigEndian.Uint64(b[10:])),
		last:             int64(binary.BigEndian.Uint64(b[18:])),
		lastStableOffset: int64(binary.BigEndian.Uint64(b[26:])),
	}
}

// add appends an entry to the file.
func (x *TxnIndex) add(e abortedTxn) error {
	b := make([]byte, 2, txnEntrySize)
	for _, v := range [...]int64{e.producerID, e.first, e.last, e.lastStableOffset} {
		b = binary.BigEndian.AppendUint64(b, uint64(v))
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	file, err := x.file.create()
	if err != nil {
		return err
	}
	defer x.file.release()
	if _, err := file.WriteAt(b, int64(x.count*txnEntrySize)); err != nil {
		return err
	}
	x.count++
	return nil
}

// stable is before all transactions that were open after the marker. What is written may be too late: to a follower, which takes many batches at once,
// a transaction that begins after the marker counts as open, and if its producer is that of the marker it does not, here as in Apache Kafka. There
// it does no harm, because the offset up to which a reader reads is rounded up to the end of such an append.
func (e abortedTxn) stable() int64 { return min(e.lastStableOffset, e.last+1) }

// visit shows the transactions that overlap [from, to). complete says that later segments have none.
func (x *TxnIndex) visit(from, to int64, show func(abortedTxn)) (complete bool, err error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if x.count == 0 {
		return false, nil
	}
	err = x.file.use(func(file vfs.File) error {
		i, err := x.searchLocked(file, from)
		for ; i < x.count && err == nil && !complete; i++ {
			var e abortedTxn
			e, err = readTxnEntry(file, i)
			if err == nil && e.first < to {
				show(e)
			}
			complete = e.stable() >= to
		}
		return err
	})
	return complete, err
}

// visitAborted shows the aborted transactions that overlap [from, to), the first of the segments being that of from.
func visitAborted(segments []*Segment, from, to int64, show func(abortedTxn)) error {
	for _, s := range segments {
		if complete, err := s.txns.visit(from, to, show); complete || err != nil {
			return err
		}
	}
	return nil
}

// searchLocked is the first entry whose marker is at or after the offset.
func (x *TxnIndex) searchLocked(file vfs.File, offset int64) (int, error) {
	var failed error
	i := sort.Search(x.count, func(i int) bool {
		e, err := readTxnEntry(file, i)
		if err != nil {
			failed = err
		}
		return e.last >= offset
	})
	return i, failed
}

// truncateTo drops entries whose marker is at or after the offset.
func (x *TxnIndex) truncateTo(offset int64) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return ignoreMissing(x.file.use(func(file vfs.File) error {
		n, err := x.searchLocked(file, offset)
		if err != nil {
			return err
		}
		x.count = n
		return file.Truncate(int64(n * txnEntrySize))
	}))
}

// reset drops all entries.
func (x *TxnIndex) reset() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.count = 0
	return ignoreMissing(x.file.use(func(file vfs.File) error { return file.Truncate(0) }))
}

// all lists every entry, for checks.
func (x *TxnIndex) all() (list []abortedTxn, err error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if x.count == 0 {
		return nil, nil
	}
	err = x.file.use(func(file vfs.File) error {
		for i := range x.count {
			e, err := readTxnEntry(file, i)
			if err != nil {
				return err
			}
			list = append(list, e)
		}
		return nil
	})
	return list, err
}
