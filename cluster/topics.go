package cluster

// Topics that brokers keep their own state in.
const (
	OffsetsTopic      = "__consumer_offsets"
	TransactionsTopic = "__transaction_state"
)

// InternalTopic reports whether only brokers may write to a topic.
func InternalTopic(name string) bool { return name == OffsetsTopic || name == TransactionsTopic }
