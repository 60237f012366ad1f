package wire

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// patiently waits long enough to tell that Apache will not answer.
func patiently(x *Exchange, req kmsg.Request) {
	x.Patience(2 * time.Second)
	x.Send(req)
}

// differentCases come last: some leave Apache with topics and groups that gokafka refused to make.
var differentCases = []Case{
	{"body tags: count huge", kmsg.Metadata, 0, 1, differently(raw(func() []byte { return append(body(3, 9, 0, 1, 1, 0, 0)(), uvarintMax...) }))},
	{"without groups", kmsg.OffsetFetch, 8, 0, differently(func(x *Exchange) { patiently(x, kmsg.NewPtrOffsetFetchRequest()) })},
	{"null records", kmsg.Produce, 9, 9, differently(func(x *Exchange) { createTopic(x, x.N, 1); patiently(x, produce(-1, x.N, 0, nil)) })},
	{"record offset delta wrong", kmsg.Produce, 9, 9, differently(send(altered(func(b *kmsg.RecordBatch) { b.Records[3] = 0x0e })))},
	{"operation 9", kmsg.IncrementalAlterConfigs, 0, 0, differently(changing(topicConfig, 9, "retention.ms", text("1")))},
	{"assignment to an unknown broker", kmsg.CreateTopics, 0, 0, differently(func(x *Exchange) {
		r := create(assigned(newTopic(x.N, -1, -1), 0, 7))
		r.TimeoutMillis = 100
		x.Send(r)
	})},
	{"after a transaction and InitProducerId", kmsg.DescribeTransactions, 0, 0, differently(func(x *Exchange) {
		p := newTransactor(x)
		p.begin()
		p.ended(true)
		p.on(setup(x)).init(nil)
		x.Send(describeTxns(x.N))
	})},
	{"goes on, late, with a transaction open", kmsg.InitProducerID, 3, 0, differently(func(x *Exchange) {
		p := newTransactor(x)
		p.learn(setup(x).SendEach(func(side int) kmsg.Request { return p.initialize(side, going(0)) }))
		p.begin()
		p.init(going(-1))
	})},
	{"without transactions", kmsg.AddPartitionsToTxn, 4, 0, differently(func(x *Exchange) { patiently(x, kmsg.NewPtrAddPartitionsToTxnRequest()) })},
}
