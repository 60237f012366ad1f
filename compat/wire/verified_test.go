package wire

import "github.com/twmb/franz-go/pkg/kmsg"

// produce sends a batch of one record in the transaction, changed by alter, to partition 0.
func (p *transactor) produce(sequence int32, alter func(r *kmsg.ProduceRequest, side int)) {
	p.x.T.Helper()
	p.x.SendEach(func(side int) kmsg.Request {
		r := produce(-1, p.x.N, 0, p.batch(side, 0, sequence))
		r.Version, r.TransactionID = 7, &p.id
		if alter != nil {
			alter(r, side)
		}
		return r
	})
}

func (p *transactor) batch(side int, epochs int16, sequence int32) []byte {
	return txn(p.producer[side], p.epoch[side]+epochs, sequence, "a")
}

// producing begins a transaction and produces once, changed by alter.
func producing(alter func(p *transactor, r *kmsg.ProduceRequest, side int)) func(x *Exchange) {
	return func(x *Exchange) {
		p := newTransactor(x)
		p.begin()
		p.produce(0, func(r *kmsg.ProduceRequest, side int) {
			if alter != nil {
				alter(p, r, side)
			}
		})
		readBack(x, x.N)
	}
}

// commitOffset commits an offset of the group in the transaction, changed by alter.
func (p *transactor) commitOffset(alter func(*kmsg.TxnOffsetCommitRequest)) {
	p.x.T.Helper()
	p.x.SendEach(func(side int) kmsg.Request {
		r := txnCommit(p.x, 42)
		r.Version, r.TransactionalID, r.ProducerID, r.ProducerEpoch = 3, p.id, p.producer[side], p.epoch[side]
		if alter != nil {
			alter(r)
		}
		return r
	})
}

// committingVerified adds the group to a transaction, commits an offset, changed by alter, and ends the transaction.
func committingVerified(commit bool, alter func(*kmsg.TxnOffsetCommitRequest)) func(x *Exchange) {
	return func(x *Exchange) {
		createTopic(x, x.N, 2)
		p := newTransactor(x)
		p.on(setup(x)).addOffsets(nil)
		p.commitOffset(alter)
		groupOffsets(x)
		p.on(setup(x)).ended(commit)
		groupOffsets(x)
	}
}

var verifiedCases = []Case{
	{"in a transaction", kmsg.Produce, 3, 0, func(x *Exchange) {
		p := newTransactor(x)
		p.begin()
		p.produce(0, nil)
		p.produce(1, nil)
		p.produce(1, nil)
		p.on(setup(x)).ended(true)
		p.produce(2, nil)
		readBack(x, x.N)
	}},
	{"before and after it is added", kmsg.Produce, 3, 0, func(x *Exchange) {
		createTopic(x, x.N, 1)
		p := newTransactor(x)
		p.produce(0, nil)
		p.on(setup(x)).add(nil, x.N, 0)
		p.produce(1, nil)
		p.produce(0, nil)
		p.produce(1, nil)
		readBack(x, x.N)
	}},
	{"one partition of two added", kmsg.Produce, 3, 0, producing(func(p *transactor, r *kmsg.ProduceRequest, side int) {
		r.Topics[0].Partitions = append(r.Topics[0].Partitions, produce(-1, p.x.N, 1, p.batch(side, 0, 0)).Topics[0].Partitions...)
	})},
	{"another partition", kmsg.Produce, 3, 0, producing(func(_ *transactor, r *kmsg.ProduceRequest, _ int) { r.Topics[0].Partitions[0].Partition = 1 })},
	{"unknown partition in a transaction", kmsg.Produce, 3, 0, producing(func(_ *transactor, r *kmsg.ProduceRequest, _ int) { r.Topics[0].Partitions[0].Partition = 7 })},
	{"later epoch", kmsg.Produce, 3, 0, producing(func(p *transactor, r *kmsg.ProduceRequest, side int) {
		r.Topics[0].Partitions[0].Records = p.batch(side, 1, 0)
	})},
	{"another producer's", kmsg.Produce, 3, 0, producing(func(p *transactor, r *kmsg.ProduceRequest, side int) {
		r.Topics[0].Partitions[0].Records = txn(p.producer[side]+1000, 0, 0, "a")
	})},
	{"unknown transactional id", kmsg.Produce, 3, 0, producing(func(_ *transactor, r *kmsg.ProduceRequest, _ int) { r.TransactionID = text("unknown") })},
	{"no transactional id", kmsg.Produce, 3, 0, producing(func(_ *transactor, r *kmsg.ProduceRequest, _ int) { r.TransactionID = nil })},
	{"blank transactional id", kmsg.Produce, 3, 0, producing(func(_ *transactor, r *kmsg.ProduceRequest, _ int) { r.TransactionID = text("") })},
	{"plain batch with a transactional id", kmsg.Produce, 3, 0, producing(func(p *transactor, r *kmsg.ProduceRequest, side int) {
		r.Topics[0].Partitions[0].Records = from(p.producer[side], 0, 0, "a")
	})},
	{"acks 2 in a transaction", kmsg.Produce, 3, 0, producing(func(_ *transactor, r *kmsg.ProduceRequest, _ int) { r.Acks = 2 })},
	{"acks 2, not added", kmsg.Produce, 3, 0, producing(func(_ *transactor, r *kmsg.ProduceRequest, _ int) { r.Acks, r.Topics[0].Partitions[0].Partition = 2, 1 })},
	{"fenced producer's batch", kmsg.Produce, 3, 0, func(x *Exchange) {
		p := newTransactor(x)
		p.begin()
		p.produce(0, nil)
		p.on(setup(x)).ended(true)
		next := *p
		next.x = setup(x)
		next.init(nil)
		p.produce(1, nil)
		readBack(x, x.N)
	}},

	{"verified", kmsg.TxnOffsetCommit, 0, 0, committingVerified(true, nil)},
	{"verified and aborted", kmsg.TxnOffsetCommit, 0, 0, committingVerified(false, nil)},
	{"group not added", kmsg.TxnOffsetCommit, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 2)
		p := newTransactor(x)
		p.commitOffset(nil)
		p.begin()
		p.commitOffset(nil)
		groupOffsets(x)
	}},
	{"verified later epoch", kmsg.TxnOffsetCommit, 0, 0, committingVerified(true, func(r *kmsg.TxnOffsetCommitRequest) { r.ProducerEpoch++ })},
	{"verified earlier epoch", kmsg.TxnOffsetCommit, 0, 0, committingVerified(true, func(r *kmsg.TxnOffsetCommitRequest) { r.ProducerEpoch-- })},
	{"verified another producer", kmsg.TxnOffsetCommit, 0, 0, committingVerified(true, func(r *kmsg.TxnOffsetCommitRequest) { r.ProducerID += 1000 })},
	{"verified unknown id", kmsg.TxnOffsetCommit, 0, 0, committingVerified(true, func(r *kmsg.TxnOffsetCommitRequest) { r.TransactionalID = "unknown" })},
	{"verified blank id", kmsg.TxnOffsetCommit, 0, 0, committingVerified(true, func(r *kmsg.TxnOffsetCommitRequest) { r.TransactionalID = "" })},
	{"verified unknown topic", kmsg.TxnOffsetCommit, 0, 0, committingVerified(true, func(r *kmsg.TxnOffsetCommitRequest) { r.Topics[0].Topic += "-b" })},
	{"verified unknown member", kmsg.TxnOffsetCommit, 3, 0, committingVerified(true, func(r *kmsg.TxnOffsetCommitRequest) { r.MemberID, r.Generation = "x", 3 })},
	{"verified second commit", kmsg.TxnOffsetCommit, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 2)
		p := newTransactor(x)
		p.on(setup(x)).addOffsets(nil)
		p.commitOffset(nil)
		p.on(setup(x)).ended(true)
		p.commitOffset(nil)
		groupOffsets(x)
	}},

	{"without a transaction", kmsg.WriteTxnMarkers, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 1)
		x.Send(markers(marker(4000, 0, true, x.N, 0)))
		x.Send(markers(marker(4000, 0, true, x.N+"-b", 0)))
		readBack(x, x.N)
	}},
}
