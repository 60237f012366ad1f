package protocol

// FetchResponse is the answer to Fetch, v0 to v17. It is encoded by hand because its records are not bytes in memory but
// ranges of files, which no general encoder can carry.
//
// Encode leaves out what its version does not have.
type FetchResponse struct {
	Version        int16
	ThrottleMillis int32 // v1+
	ErrorCode      int16 // v7+: what is wrong with the fetch session
	SessionID      int32 // v7+: zero without a session (KIP-227)
	Topics         []FetchTopic
	Nodes          []FetchNode // v16+: where the CurrentLeaders are (KIP-951)
}

// FetchTopic holds the partitions of one topic.
type FetchTopic struct {
	Topic      string  // v0 to v12
	TopicID    TopicID // v13+
	Partitions []FetchPartition
}

// FetchPartition is what was read from one partition. NewFetchPartition makes one whose absent fields say so.
type FetchPartition struct {
	Partition        int32
	ErrorCode        int16
	HighWatermark    int64
	LastStableOffset int64 // v4+
	LogStartOffset   int64 // v5+

	// DivergingEpoch tells a follower where its log left the leader's (v12+, KIP-595); nil when it did not.
	DivergingEpoch *EpochEndOffset
	// CurrentLeader tells a client whom to ask instead (v12+, set from v16 on, KIP-951); nil when it may stay.
	CurrentLeader *LeaderIDAndEpoch

	// AbortedTransactions are those whose records are among Records (v4+). Nil is null, which is the answer to a reader
	// of uncommitted records; a reader of committed ones gets a list, if an empty one.
	AbortedTransactions  []AbortedTransaction
	PreferredReadReplica int32 // v11+: -1 for none (KIP-392)

	Records     Chunk
	NullRecords bool // null instead of no records, as Apache has it for some errors
}

// EpochEndOffset is a leader epoch and the offset at which it ends.
type EpochEndOffset struct {
	Epoch     int32
	EndOffset int64
}

// LeaderIDAndEpoch names a partition's leader and the epoch in which it leads.
type LeaderIDAndEpoch struct {
	ID    int32
	Epoch int32
}

// AbortedTransaction is a transaction whose records are to be skipped from FirstOffset to its abort marker.
type AbortedTransaction struct {
	ProducerID  int64
	FirstOffset int64
}

// FetchNode is the address of a leader that the answer names.
type FetchNode struct {
	ID   int32
	Host string
	Port int32
	Rack *string
}

// NewFetchPartition returns the answer for a partition of which nothing is known but an error: no records, and -1 for
// every offset and for the preferred replica.
func NewFetchPartition(partition int32, errorCode int16) FetchPartition {
	return FetchPartition{
		Partition: partition, ErrorCode: errorCode,
		HighWatermark: -1, LastStableOffset: -1, LogStartOffset: -1, PreferredReadReplica: -1,
	}
}

// Encode returns the body of the answer. The reply holds the partitions' records as they are; releasing it releases them.
func (r *FetchResponse) Encode() *Reply {
	e := fetchEncoder{reply: replies.Get().(*Reply), version: r.Version}
	e.encoder = encoder{b: e.reply.head[:0], flexible: r.Version >= 12}
	if r.Version >= 1 {
		e.int32(r.ThrottleMillis)
	}
	if r.Version >= 7 {
		e.int16(r.ErrorCode)
		e.reply.noteError(r.ErrorCode)
		e.int32(r.SessionID)
	}
	e.length(len(r.Topics))
	for i := range r.Topics {
		e.topic(&r.Topics[i])
	}
	e.nodes(r.Nodes)
	e.cut()
	e.reply.head = e.b
	return e.reply
}

// fetchEncoder writes everything but records into one buffer and cuts it where records belong. When the buffer grows, the
// chunks that were cut before keep the old array, whose bytes are what they were.
type fetchEncoder struct {
	encoder
	reply   *Reply
	version int16
	sent    int // bytes of the buffer that are in chunks already
}

// cut makes a chunk of what was written since the last cut.
func (e *fetchEncoder) cut() {
	if e.sent == len(e.b) {
		return
	}
	e.reply.Chunks = append(e.reply.Chunks, Chunk{Bytes: e.b[e.sent:len(e.b):len(e.b)]})
	e.sent = len(e.b)
}

func (e *fetchEncoder) topic(t *FetchTopic) {
	if e.version >= 13 {
		e.b = append(e.b, t.TopicID[:]...)
	} else {
		e.string(t.Topic)
	}
	e.length(len(t.Partitions))
	for i := range t.Partitions {
		e.partition(&t.Partitions[i])
	}
	e.noTags()
}

func (e *fetchEncoder) partition(p *FetchPartition) {
	e.int32(p.Partition)
	e.int16(p.ErrorCode)
	e.reply.noteError(p.ErrorCode)
	e.int64(p.HighWatermark)
	if e.version >= 4 {
		e.int64(p.LastStableOffset)
	}
	if e.version >= 5 {
		e.int64(p.LogStartOffset)
	}
	if e.version >= 4 {
		e.aborted(p.AbortedTransactions)
	}
	if e.version >= 11 {
		e.int32(p.PreferredReadReplica)
	}
	if p.NullRecords {
		e.length(-1)
	} else {
		e.records(p.Records)
	}
	e.partitionTags(p)
}

func (e *fetchEncoder) aborted(transactions []AbortedTransaction) {
	if transactions == nil {
		e.length(-1)
		return
	}
	e.length(len(transactions))
	for _, t := range transactions {
		e.int64(t.ProducerID)
		e.int64(t.FirstOffset)
		e.noTags()
	}
}

// records writes their length and puts them in as a chunk. An empty range has nothing to send, so it is let go at once.
func (e *fetchEncoder) records(c Chunk) {
	n := c.Len()
	e.length(n)
	if n > 0 {
		e.cut()
		e.reply.Chunks = append(e.reply.Chunks, c)
	} else if c.Range != nil {
		c.Range.Release()
	}
}

// partitionTags writes the partition's tagged fields, each with its number, its size in bytes and its own empty tags.
func (e *fetchEncoder) partitionTags(p *FetchPartition) {
	if !e.flexible {
		return
	}
	tags := 0
	if p.DivergingEpoch != nil {
		tags++
	}
	if p.CurrentLeader != nil {
		tags++
	}
	e.uvarint(tags)
	if d := p.DivergingEpoch; d != nil {
		e.b = append(e.b, 0, 4+8+1)
		e.int32(d.Epoch)
		e.int64(d.EndOffset)
		e.noTags()
	}
	if l := p.CurrentLeader; l != nil {
		e.b = append(e.b, 1, 4+4+1)
		e.int32(l.ID)
		e.int32(l.Epoch)
		e.noTags()
	}
}

// nodes ends the answer: the leaders' addresses are its only tagged field. A tag begins with its size, so they
// are written apart first.
func (e *fetchEncoder) nodes(nodes []FetchNode) {
	if !e.flexible {
		return
	}
	if e.version < 16 || len(nodes) == 0 {
		e.noTags()
		return
	}
	e.b = append(e.b, 1, 0)
	list := encoder{flexible: true}
	list.length(len(nodes))
	for _, n := range nodes {
		list.int32(n.ID)
		list.string(n.Host)
		list.int32(n.Port)
		list.nullableString(n.Rack)
		list.noTags()
	}
	e.uvarint(len(list.b))
	e.b = append(e.b, list.b...)
}
