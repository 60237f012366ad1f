package cluster

// Topics that brokers keep their own state in. No ZooKeeper-mode broker writes the last, but it is reserved all the same.
const (
	OffsetsTopic      = "__consumer_offsets"
	TransactionsTopic = "__transaction_state"
	ShareStateTopic   = "__share_group_state"
)

// InternalTopic reports whether only brokers may write to a topic.
func InternalTopic(name string) bool {
	return name == OffsetsTopic || name == TransactionsTopic || name == ShareStateTopic
}
