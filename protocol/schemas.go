package protocol

// schemas says how every request is laid out that a broker in ZooKeeper mode may be sent, after the message definitions of Apache
// Kafka 3.9. It is what the guard walks. The grammar:
//
//	int8 int16 int32 int64 uuid   a scalar (a bool is an int8)
//	string bytes                  a length and as many bytes
//	name[…]                       an array: of one bare type, or of structures ([{…}] when they have one field)
//	name{…}                       a structure
//	?                             may be null, in all versions or in those that follow
//	@                             the versions that have the field; without it, all in which the structure exists
//	#                             a tagged field, with its number
//
// A field that no version here has, but kmsg's structure does, is listed too: it costs memory.
var schemas = [...]schema{
	{0, 9, "string?@3+ int16 int32 topic_data[string partition_data[int32 bytes?]]"}, // Produce
	{1, 12, `
		string?@12+#0 int32@0-14 replica_state{int32 int64}@15+#1 int32 int32 int32@3+ int8@4+ int32@7+ int32@7+
		topics[string@0-12 uuid@13+ partitions[int32 int32@9+ int64 int32@12+ int64@5+ int32 uuid@17+#0]]
		forgotten_topics_data[string@7-12 uuid@13+ partitions[int32]]@7+ string@11+`}, // Fetch
	{2, 6, "int32 int8@2+ topics[string partitions[int32 int32@4+ int64 int32@0]]"}, // ListOffsets
	{3, 9, "topics[uuid@10+ string?10+]?1+ int8@4+ int8@8-10 int8@8+"},              // Metadata
	{4, 4, `
		int32 int8@7+ int32 int64@2+ int8@5+ ungrouped_partition_states[string int32 int32 int32 int32
		isr[int32] int32 replicas[int32] adding_replicas[int32]@3+ removing_replicas[int32]@3+ int8@1+
		int8@6+]@0-1 topic_states[string uuid@5+ partition_states[string@0-1 int32 int32 int32 int32 isr[int32]
		int32 replicas[int32] adding_replicas[int32]@3+ removing_replicas[int32]@3+ int8 int8@6+]]@2+
		live_leaders[int32 string int32]`}, // LeaderAndIsr
	{5, 2, `
		int32 int8@4+ int32 int64@1+ int8@0-2 ungrouped_partitions[string int32]@0 topics[string
		partition_indexes[int32]]@1-2 topic_states[string partition_states[int32 int32 int8]]@3+`}, // StopReplica
	{6, 6, `
		int32 int8@8+ int8@8+#0 int32 int64@5+ ungrouped_partition_states[string int32 int32 int32 int32
		isr[int32] int32 replicas[int32] offline_replicas[int32]@4+]@0-4 topic_states[string uuid@7+
		partition_states[string@0-4 int32 int32 int32 int32 isr[int32] int32 replicas[int32]
		offline_replicas[int32]]]@5+ live_brokers[int32 string@0 int32@0 endpoints[int32 string string@3+
		int16]@1+ string?@2+]`}, // UpdateMetadata
	{7, 3, "int32 int64@2+"}, // ControlledShutdown
	{8, 8, `
		string int32@1+ string@1+ string?@7+ int64@2-4 topics[string partitions[int32 int64 int32@6+ int64@1
		string?]]`}, // OffsetCommit
	{9, 6, `
		string@0-7 topics[string partition_indexes[int32]]?2-7@0-7 groups[string string?@9+ int32@9+
		topics[string partition_indexes[int32]]?]@8+ int8@7+`}, // OffsetFetch
	{10, 3, "string@0-3 int8@1+ coordinator_keys[string]@4+"},                                    // FindCoordinator
	{11, 6, "string int32 int32@1+ string string?@5+ string protocols[string bytes] string?@8+"}, // JoinGroup
	{12, 4, "string int32 string string?@3+"},                                                    // Heartbeat
	{13, 4, "string string@0-2 members[string string? string?@5+]@3+"},                           // LeaveGroup
	{14, 4, "string int32 string string?@3+ string?@5+ string?@5+ assignments[string bytes]"},    // SyncGroup
	{15, 5, "groups[string] int8@3+"},                                                            // DescribeGroups
	{16, 3, "states_filter[string]@4+ types_filter[string]@5+"},                                  // ListGroups
	{17, -1, "string"},             // SaslHandshake
	{18, 3, "string@3+ string@3+"}, // ApiVersions
	{19, 5, "topics[string int32 int16 assignments[int32 broker_ids[int32]] configs[string string?]] int32 int8@1+"}, // CreateTopics
	{20, 4, "topics[string? uuid]@6+ topic_names[string]@0-5 int32"},                                                 // DeleteTopics
	{21, 2, "topics[string partitions[int32 int64]] int32"},                                                          // DeleteRecords
	{22, 2, "string? int32 int64@3+ int16@3+"},                                                                       // InitProducerId
	{23, 4, "int32@3+ topics[string partitions[int32 int32@2+ int32]]"},                                              // OffsetForLeaderEpoch
	{24, 3, `
		transactions[string int64 int16 int8 topics[string partitions[int32]]]@4+ string@0-3 int64@0-3 int16@0-3
		v3_and_below_topics[string partitions[int32]]@0-3`}, // AddPartitionsToTxn
	{25, 3, "string int64 int16 string"},                                               // AddOffsetsToTxn
	{26, 3, "string int64 int16 int8"},                                                 // EndTxn
	{27, 1, "markers[int64 int16 int8 topics[string partition_indexes[int32]] int32]"}, // WriteTxnMarkers
	{28, 3, `
		string string int64 int16 int32@3+ string@3+ string?@3+ topics[string partitions[int32 int64 int32@2+
		string?]]`}, // TxnOffsetCommit
	{29, 2, "int8 string? int8@1+ string? string? int8 int8"},                     // DescribeAcls
	{30, 2, "creations[int8 string int8@1+ string string int8 int8]"},             // CreateAcls
	{31, 2, "filters[int8 string? int8@1+ string? string? int8 int8]"},            // DeleteAcls
	{32, 4, "resources[int8 string configuration_keys[string]?] int8@1+ int8@3+"}, // DescribeConfigs
	{33, 2, "resources[int8 string configs[string string?]] int8"},                // AlterConfigs
	{34, 2, "dirs[string topics[string partitions[int32]]]"},                      // AlterReplicaLogDirs
	{35, 2, "topics[string partitions[int32]]?"},                                  // DescribeLogDirs
	{36, 2, "bytes"}, // SaslAuthenticate
	{37, 2, "topics[string int32 assignments[broker_ids[int32]]?] int32 int8"}, // CreatePartitions
	{38, 2, "string?@3+ string?@3+ renewers[string string] int64"},             // CreateDelegationToken
	{39, 2, "bytes int64"},            // RenewDelegationToken
	{40, 2, "bytes int64"},            // ExpireDelegationToken
	{41, 2, "owners[string string]?"}, // DescribeDelegationToken
	{42, 2, "groups_names[string]"},   // DeleteGroups
	{43, 2, "int8@1+ topic_partitions[string partitions[int32]]? int32"},        // ElectLeaders
	{44, 1, "resources[int8 string configs[string int8 string?]] int8"},         // IncrementalAlterConfigs
	{45, 0, "int32 topics[string partitions[int32 replicas[int32]?]]"},          // AlterPartitionReassignments
	{46, 0, "int32 topics[string partition_indexes[int32]]?"},                   // ListPartitionReassignments
	{47, -1, "string topics[string partitions[int32]]"},                         // OffsetDelete
	{48, 1, "components[string int8 string?] int8"},                             // DescribeClientQuotas
	{49, 1, "entries[entity[string string?] ops[string int64 int8]] int8"},      // AlterClientQuotas
	{50, 0, "users[{string}]?"},                                                 // DescribeUserScramCredentials
	{51, 0, "deletions[string int8] upsertions[string int8 int32 bytes bytes]"}, // AlterUserScramCredentials
	{56, 0, `
		int32 int64 topics[string@0-1 uuid@2+ partitions[int32 int32 new_isr[int32]@0-2
		new_isr_with_epochs[int32 int64]@3+ int8@1+ int32]]`}, // AlterPartition
	{57, 0, "int32 feature_updates[string int16 int8@0 int8@1+] int8@1+"}, // UpdateFeatures
	{58, 0, "bytes bytes? bytes"},                                         // Envelope
	{60, 0, "int8 int8@1+"},                                               // DescribeCluster
	{61, 0, "topics[string partition_indexes[int32]]"},                    // DescribeProducers
	{65, 0, "transactional_ids[string]"},                                  // DescribeTransactions
	{66, 0, "state_filters[string] producer_id_filters[int64] int64@1+"},  // ListTransactions
	{67, 0, "int32 int64"},                                                // AllocateProducerIds
	{68, 0, `
		string string int32 string? string? int32 subscribed_topic_names[string]? string? topic_partitions[uuid
		partitions[int32]]?`}, // ConsumerGroupHeartbeat
	{69, 0, "group_ids[string] int8"}, // ConsumerGroupDescribe
}
