package wire

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// transactor is a transactional producer, with the id that each side has drawn for it.
type transactor struct {
	x        *Exchange
	id       string
	producer [2]int64
	epoch    [2]int16
}

// setup is the exchange for requests that are not the case's own.
func setup(x *Exchange) *Exchange {
	y := *x
	y.key = -1
	return &y
}

// newTransactor gives an id to its first producer, at a version that does not follow the case's.
func newTransactor(x *Exchange) *transactor {
	x.T.Helper()
	p := &transactor{x: x, id: x.N}
	p.learn(setup(x).Send(p.initialize(0, nil)))
	return p
}

func (p *transactor) initialize(side int, alter func(*kmsg.InitProducerIDRequest, *transactor)) *kmsg.InitProducerIDRequest {
	r := kmsg.NewPtrInitProducerIDRequest()
	r.Version, r.TransactionalID, r.TransactionTimeoutMillis, r.ProducerID, r.ProducerEpoch = 4, &p.id, 60000, -1, -1
	if alter != nil {
		own := *p
		own.producer[0], own.epoch[0] = p.producer[side], p.epoch[side]
		alter(r, &own)
	}
	return r
}

// learn takes over what InitProducerID gave.
func (p *transactor) learn(got Answers) {
	for side := range got {
		if r, ok := got.Response(side).(*kmsg.InitProducerIDResponse); ok && r.ErrorCode == 0 {
			p.producer[side], p.epoch[side] = r.ProducerID, r.ProducerEpoch
		}
	}
}

// init sends the case's InitProducerID.
func (p *transactor) init(alter func(*kmsg.InitProducerIDRequest, *transactor)) {
	p.x.T.Helper()
	p.learn(p.x.SendEach(func(side int) kmsg.Request { return p.initialize(side, alter) }))
}

// initWhenFree is init when no transaction is under way any more.
func (p *transactor) initWhenFree() {
	p.x.T.Helper()
	free := func(r kmsg.Response) bool {
		return r.(*kmsg.DescribeTransactionsResponse).TransactionStates[0].State == "CompleteAbort"
	}
	setup(p.x.Unchecked()).Until(describeTxns(p.id), free)
	p.init(nil)
}

func (p *transactor) add(alter func(*kmsg.AddPartitionsToTxnRequest), topic string, partitions ...int32) {
	p.x.T.Helper()
	p.x.SendEach(func(side int) kmsg.Request {
		r := kmsg.NewPtrAddPartitionsToTxnRequest()
		r.Version, r.TransactionalID, r.ProducerID, r.ProducerEpoch = 3, p.id, p.producer[side], p.epoch[side]
		r.Topics = []kmsg.AddPartitionsToTxnRequestTopic{{Topic: topic, Partitions: partitions}}
		if alter != nil {
			alter(r)
		}
		return r
	})
}

// begin opens a transaction in a new topic, at a version that does not follow the case's.
func (p *transactor) begin() {
	p.x.T.Helper()
	createTopic(p.x, p.x.N, 2)
	p.on(setup(p.x)).add(nil, p.x.N, 0)
}

func (p *transactor) on(x *Exchange) *transactor {
	q := *p
	q.x = x
	return &q
}

func (p *transactor) end(commit bool, alter func(*kmsg.EndTxnRequest)) {
	p.x.T.Helper()
	p.x.SendEach(func(side int) kmsg.Request {
		r := kmsg.NewPtrEndTxnRequest()
		r.Version, r.TransactionalID, r.ProducerID, r.ProducerEpoch, r.Commit = 3, p.id, p.producer[side], p.epoch[side], commit
		if alter != nil {
			alter(r)
		}
		return r
	})
}

// ended ends the transaction and waits until it is complete.
func (p *transactor) ended(commit bool) {
	p.x.T.Helper()
	p.end(commit, nil)
	p.settle()
}

func (p *transactor) settle() {
	p.x.T.Helper()
	setup(p.x.Unchecked()).Until(describeTxns(p.id), func(r kmsg.Response) bool {
		return strings.HasPrefix(r.(*kmsg.DescribeTransactionsResponse).TransactionStates[0].State, "Complete")
	})
}

func (p *transactor) addOffsets(alter func(*kmsg.AddOffsetsToTxnRequest)) {
	p.x.T.Helper()
	p.x.SendEach(func(side int) kmsg.Request {
		r := kmsg.NewPtrAddOffsetsToTxnRequest()
		r.TransactionalID, r.ProducerID, r.ProducerEpoch, r.Group = p.id, p.producer[side], p.epoch[side], p.x.N
		if alter != nil {
			alter(r)
		}
		return r
	})
}

// ask sends many transactions at once, as brokers do.
func (p *transactor) ask(transactions ...func(side int) kmsg.AddPartitionsToTxnRequestTransaction) {
	p.x.T.Helper()
	p.x.SendEach(func(side int) kmsg.Request {
		r := kmsg.NewPtrAddPartitionsToTxnRequest()
		for _, t := range transactions {
			r.Transactions = append(r.Transactions, t(side))
		}
		return r
	})
}

func (p *transactor) of(verify bool, epochs int16, topic string, partitions ...int32) func(side int) kmsg.AddPartitionsToTxnRequestTransaction {
	return func(side int) kmsg.AddPartitionsToTxnRequestTransaction {
		return kmsg.AddPartitionsToTxnRequestTransaction{TransactionalID: p.id, ProducerID: p.producer[side], ProducerEpoch: p.epoch[side] + epochs,
			VerifyOnly: verify, Topics: []kmsg.AddPartitionsToTxnRequestTransactionTopic{{Topic: topic, Partitions: partitions}}}
	}
}

func describeTxns(ids ...string) *kmsg.DescribeTransactionsRequest {
	r := kmsg.NewPtrDescribeTransactionsRequest()
	r.TransactionalIDs = ids
	return r
}

// list lists what one producer has: others' are of other cases.
func (p *transactor) list(alter func(*kmsg.ListTransactionsRequest)) {
	p.x.T.Helper()
	p.x.SendEach(func(side int) kmsg.Request {
		r := kmsg.NewPtrListTransactionsRequest()
		r.ProducerIDFilters = []int64{p.producer[side]}
		alter(r)
		return r
	})
}

// initCase gives an id to a producer and then sends one InitProducerID, changed by alter.
func initCase(alter func(*kmsg.InitProducerIDRequest, *transactor)) func(x *Exchange) {
	return func(x *Exchange) { newTransactor(x).init(alter) }
}

// going goes on with what the producer has, and some epochs more.
func going(epochs int16) func(*kmsg.InitProducerIDRequest, *transactor) {
	return func(r *kmsg.InitProducerIDRequest, p *transactor) {
		r.ProducerID, r.ProducerEpoch = p.producer[0], p.epoch[0]+epochs
	}
}

func addCase(alter func(*kmsg.AddPartitionsToTxnRequest), partitions ...int32) func(x *Exchange) {
	return func(x *Exchange) {
		createTopic(x, x.N, 2)
		p := newTransactor(x)
		p.add(alter, x.N, partitions...)
		setup(x).Send(describeTxns(x.N))
	}
}

func addOffsetsCase(alter func(*kmsg.AddOffsetsToTxnRequest)) func(x *Exchange) {
	return func(x *Exchange) {
		p := newTransactor(x)
		p.addOffsets(alter)
		setup(x).Send(describeTxns(x.N))
	}
}

func endCase(commit bool, alter func(*kmsg.EndTxnRequest)) func(x *Exchange) {
	return func(x *Exchange) {
		p := newTransactor(x)
		p.begin()
		p.end(commit, alter)
	}
}

var txnCases = []Case{
	{"of a transaction", kmsg.FindCoordinator, 1, 0, func(x *Exchange) { x.Send(coordinator(1, x.N)) }},
	{"of no transaction", kmsg.FindCoordinator, 1, 0, func(x *Exchange) { x.Send(coordinator(1, "")) }},

	{"transactional", kmsg.InitProducerID, 0, 0, func(x *Exchange) {
		p := &transactor{x: x, id: x.N}
		p.init(nil)
		p.init(nil)
		setup(x).Send(describeTxns(x.N))
	}},
	{"timeout 0", kmsg.InitProducerID, 0, 0, initCase(func(r *kmsg.InitProducerIDRequest, _ *transactor) { r.TransactionTimeoutMillis = 0 })},
	{"timeout negative", kmsg.InitProducerID, 0, 0, initCase(func(r *kmsg.InitProducerIDRequest, _ *transactor) { r.TransactionTimeoutMillis = -1 })},
	{"longest timeout", kmsg.InitProducerID, 0, 0, initCase(func(r *kmsg.InitProducerIDRequest, _ *transactor) { r.TransactionTimeoutMillis = 900000 })},
	{"timeout too long", kmsg.InitProducerID, 0, 0, initCase(func(r *kmsg.InitProducerIDRequest, _ *transactor) { r.TransactionTimeoutMillis = 900001 })},
	{"empty transactional id", kmsg.InitProducerID, 0, 0, initCase(func(r *kmsg.InitProducerIDRequest, _ *transactor) { r.TransactionalID = text("") })},
	{"empty transactional id and timeout 0", kmsg.InitProducerID, 0, 0, initCase(func(r *kmsg.InitProducerIDRequest, _ *transactor) {
		r.TransactionalID, r.TransactionTimeoutMillis = text(""), 0
	})},
	{"half a producer", kmsg.InitProducerID, 3, 0, initCase(func(r *kmsg.InitProducerIDRequest, _ *transactor) { r.ProducerEpoch = 0 })},
	{"goes on", kmsg.InitProducerID, 3, 0, func(x *Exchange) {
		p := newTransactor(x)
		p.init(going(0))
		p.init(going(0))
		p.init(going(-1)) // asks again
		p.init(nil)
		p.init(going(-1)) // fenced
	}},
	{"goes on, from another epoch", kmsg.InitProducerID, 3, 0, initCase(going(1))},
	{"goes on, somebody else", kmsg.InitProducerID, 3, 0, initCase(func(r *kmsg.InitProducerIDRequest, p *transactor) {
		r.ProducerID, r.ProducerEpoch = p.producer[0]+1, p.epoch[0]
	})},
	{"goes on, unknown", kmsg.InitProducerID, 3, 0, func(x *Exchange) {
		p := &transactor{x: x, id: x.N}
		p.init(func(r *kmsg.InitProducerIDRequest, _ *transactor) { r.ProducerID, r.ProducerEpoch = 1<<40, 5 })
		p.init(going(0))
	}},
	{"with a transaction open", kmsg.InitProducerID, 0, 0, func(x *Exchange) {
		p := newTransactor(x)
		p.begin()
		p.init(nil)
		p.initWhenFree()
	}},
	{"goes on with a transaction open", kmsg.InitProducerID, 3, 0, func(x *Exchange) {
		p := newTransactor(x)
		p.begin()
		p.init(going(0))
		p.settle()
		p.init(going(0))
		p.init(nil)
	}},
	{"after a commit", kmsg.InitProducerID, 0, 0, func(x *Exchange) {
		p := newTransactor(x)
		p.begin()
		p.on(setup(x)).ended(true)
		p.init(nil)
	}},

	{"one", kmsg.AddPartitionsToTxn, 0, 3, addCase(nil, 0)},
	{"two", kmsg.AddPartitionsToTxn, 0, 3, addCase(nil, 1, 0)},
	{"none", kmsg.AddPartitionsToTxn, 0, 3, addCase(func(r *kmsg.AddPartitionsToTxnRequest) { r.Topics = nil })},
	{"twice", kmsg.AddPartitionsToTxn, 0, 3, func(x *Exchange) {
		p := newTransactor(x)
		p.begin()
		p.add(nil, x.N, 0)
		p.add(nil, x.N, 0, 1)
		setup(x).Send(describeTxns(x.N))
	}},
	{"an unknown partition", kmsg.AddPartitionsToTxn, 0, 3, addCase(nil, 0, 2)},
	{"an unknown topic", kmsg.AddPartitionsToTxn, 0, 3, addCase(func(r *kmsg.AddPartitionsToTxnRequest) { r.Topics[0].Topic = "unknown" }, 0)},
	{"the brokers' own topic", kmsg.AddPartitionsToTxn, 0, 3, addCase(func(r *kmsg.AddPartitionsToTxnRequest) {
		r.Topics = append(r.Topics, kmsg.AddPartitionsToTxnRequestTopic{Topic: "__consumer_offsets", Partitions: []int32{0}})
	}, 0)},
	{"another epoch", kmsg.AddPartitionsToTxn, 0, 3, addCase(func(r *kmsg.AddPartitionsToTxnRequest) { r.ProducerEpoch++ }, 0)},
	{"another producer", kmsg.AddPartitionsToTxn, 0, 3, addCase(func(r *kmsg.AddPartitionsToTxnRequest) { r.ProducerID++ }, 0)},
	{"unknown id", kmsg.AddPartitionsToTxn, 0, 3, addCase(func(r *kmsg.AddPartitionsToTxnRequest) { r.TransactionalID = "unknown" }, 0)},
	{"empty id", kmsg.AddPartitionsToTxn, 0, 3, addCase(func(r *kmsg.AddPartitionsToTxnRequest) { r.TransactionalID = "" }, 0)},
	{"fenced", kmsg.AddPartitionsToTxn, 0, 3, func(x *Exchange) {
		p := newTransactor(x)
		q := newTransactor(x)
		q.begin()
		p.add(nil, x.N, 0)
		q.add(nil, x.N, 1)
	}},
	{"after a commit", kmsg.AddPartitionsToTxn, 0, 3, func(x *Exchange) {
		p := newTransactor(x)
		p.begin()
		p.ended(true)
		p.add(nil, x.N, 1)
		setup(x).Send(describeTxns(x.N))
	}},
	{"verify", kmsg.AddPartitionsToTxn, 4, 0, func(x *Exchange) {
		p := newTransactor(x)
		p.begin()
		p.ask(p.of(true, 0, x.N, 0, 1))
		p.ask(p.of(true, 1, x.N, 0))
		p.ask(p.of(true, 0, x.N, 0, 2))
		p.ask(p.of(true, 0, "unknown", 0))
		p.ended(false)
		p.ask(p.of(true, 0, x.N, 0))
	}},
	{"several", kmsg.AddPartitionsToTxn, 4, 0, func(x *Exchange) {
		p := newTransactor(x)
		p.begin()
		unknown := transactor{x: x, id: "unknown"}
		empty := transactor{x: x, id: ""}
		p.ask(p.of(true, 0, x.N, 1), unknown.of(true, 0, x.N, 0), empty.of(true, 0, x.N, 0))
		p.ask(p.of(false, 0, x.N, 1), unknown.of(false, 0, x.N, 0), empty.of(false, 0, x.N, 0))
		p.ask(p.of(false, -1, "__consumer_offsets", 1))
		setup(x).Send(describeTxns(x.N))
	}},

	{"group", kmsg.AddOffsetsToTxn, 0, 0, addOffsetsCase(nil)},
	{"empty group", kmsg.AddOffsetsToTxn, 0, 0, addOffsetsCase(func(r *kmsg.AddOffsetsToTxnRequest) { r.Group = "" })},
	{"another epoch", kmsg.AddOffsetsToTxn, 0, 0, addOffsetsCase(func(r *kmsg.AddOffsetsToTxnRequest) { r.ProducerEpoch++ })},
	{"another producer", kmsg.AddOffsetsToTxn, 0, 0, addOffsetsCase(func(r *kmsg.AddOffsetsToTxnRequest) { r.ProducerID++ })},
	{"unknown id", kmsg.AddOffsetsToTxn, 0, 0, addOffsetsCase(func(r *kmsg.AddOffsetsToTxnRequest) { r.TransactionalID = "unknown" })},
	{"empty id", kmsg.AddOffsetsToTxn, 0, 0, addOffsetsCase(func(r *kmsg.AddOffsetsToTxnRequest) { r.TransactionalID = "" })},

	{"commit", kmsg.EndTxn, 0, 0, endCase(true, nil)},
	{"abort", kmsg.EndTxn, 0, 0, endCase(false, nil)},
	{"again", kmsg.EndTxn, 0, 0, func(x *Exchange) {
		p := newTransactor(x)
		p.begin()
		p.ended(true)
		p.end(true, nil)
		p.end(false, nil)
		p.add(nil, x.N, 1)
		p.ended(false)
		p.end(false, nil)
		p.end(true, nil)
		setup(x).Send(describeTxns(x.N))
	}},
	{"without a transaction", kmsg.EndTxn, 0, 0, func(x *Exchange) {
		p := newTransactor(x)
		p.end(true, nil)
		p.end(false, nil)
	}},
	{"without partitions", kmsg.EndTxn, 0, 0, func(x *Exchange) {
		p := newTransactor(x)
		p.on(setup(x)).add(func(r *kmsg.AddPartitionsToTxnRequest) { r.Topics = nil }, "")
		p.ended(true)
		setup(x).Send(describeTxns(x.N))
	}},
	{"another epoch", kmsg.EndTxn, 0, 0, endCase(true, func(r *kmsg.EndTxnRequest) { r.ProducerEpoch++ })},
	{"another producer", kmsg.EndTxn, 0, 0, endCase(true, func(r *kmsg.EndTxnRequest) { r.ProducerID++ })},
	{"unknown id", kmsg.EndTxn, 0, 0, endCase(true, func(r *kmsg.EndTxnRequest) { r.TransactionalID = "unknown" })},
	{"empty id", kmsg.EndTxn, 0, 0, endCase(true, func(r *kmsg.EndTxnRequest) { r.TransactionalID = "" })},
	{"of a topic that is gone", kmsg.EndTxn, 0, 0, func(x *Exchange) {
		p := newTransactor(x)
		p.begin()
		r := kmsg.NewPtrDeleteTopicsRequest()
		r.Version, r.TopicNames, r.TimeoutMillis = 4, []string{x.N}, 20000
		setup(x).Send(r)
		setup(x.Unchecked()).Until(metadata(4, false, x.N), func(r kmsg.Response) bool {
			return r.(*kmsg.MetadataResponse).Topics[0].ErrorCode == kerr.UnknownTopicOrPartition.Code
		})
		p.ended(true)
		setup(x).Send(describeTxns(x.N))
	}},

	{"states", kmsg.DescribeTransactions, 0, 0, func(x *Exchange) {
		p := newTransactor(x)
		x.Send(describeTxns(x.N, "unknown", "", x.N))
		p.begin()
		x.Send(describeTxns(x.N))
		p.ended(true)
		x.Send(describeTxns(x.N))
		x.Send(describeTxns())
	}},

	{"by producer", kmsg.ListTransactions, 0, 0, func(x *Exchange) {
		p := newTransactor(x)
		p.list(func(*kmsg.ListTransactionsRequest) {})
		p.list(func(r *kmsg.ListTransactionsRequest) { r.ProducerIDFilters[0] = 1 << 40 })
	}},
	{"by state", kmsg.ListTransactions, 0, 0, func(x *Exchange) {
		p := newTransactor(x)
		p.list(func(r *kmsg.ListTransactionsRequest) { r.StateFilters = []string{"Empty"} })
		p.list(func(r *kmsg.ListTransactionsRequest) { r.StateFilters = []string{"Ongoing", "Dead"} })
		p.list(func(r *kmsg.ListTransactionsRequest) { r.StateFilters = []string{"empty", "Empty", "none"} })
		p.list(func(r *kmsg.ListTransactionsRequest) { r.StateFilters = []string{"none"} })
	}},
	{"by duration", kmsg.ListTransactions, 1, 0, func(x *Exchange) {
		p := newTransactor(x)
		p.begin()
		p.list(func(r *kmsg.ListTransactionsRequest) { r.DurationFilterMillis = 1 << 40 })
		p.list(func(r *kmsg.ListTransactionsRequest) { r.DurationFilterMillis = -5 })
	}},
}
