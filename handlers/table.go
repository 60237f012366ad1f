package handlers

// Table lists every API that this broker handles, in key order. What is not in it is neither dispatched nor advertised.
func Table(d Deps) []API {
	advertised := &advertisement{}
	apis := []API{
		produce(d.Replicas, d.Transactions),
		fetch(d.Replicas, d.Fetch),
		listOffsets(d.Replicas),
		metadata(d.Config, d.Image, d.Admin),
		leaderAndISR(d.Replicas, d.Own),
		stopReplica(d.Replicas, d.Own),
		updateMetadata(d.Replicas, d.Own),
		controlledShutdown(d.ForBrokers),
		offsetCommit(offsetCommitter{Groups: d.Groups, Image: d.Image, Legacy: d.LegacyOffsets, MetadataMax: d.OffsetMetadataMax}),
		offsetFetch(offsetFetcher{Groups: d.Groups, Image: d.Image, Legacy: d.LegacyOffsets}),
		findCoordinator(coordinatorFinder{Groups: d.Groups, Image: d.Image, Topics: d.InternalTopics}),
		joinGroup(d.Groups),
		heartbeat(d.Groups),
		leaveGroup(d.Groups),
		syncGroup(d.Groups),
		describeGroups(d.Groups),
		listGroups(d.Groups),
		saslHandshake(),
		apiVersions(advertised),
		createTopics(d.Controller, d.Admin),
		deleteTopics(d.Config, d.Image, d.Controller, d.Admin),
		deleteRecords(d.Replicas),
		initProducerID(d.ProducerIDs),
		offsetForLeaderEpoch(d.Replicas),
		writeTxnMarkers(d.Markers),
		txnOffsetCommit(d.Groups, d.Image),
		describeConfigs(d.Admin),
		alterConfigs(d.Admin),
		describeLogDirs(d.Directories),
		saslAuthenticate(),
		createPartitions(d.Controller, d.Admin),
		deleteGroups(d.Groups),
		electLeaders(d.Image, d.Controller),
		incrementalAlterConfigs(d.Admin),
		alterPartitionReassignments(d.Controller),
		listPartitionReassignments(d.Controller),
		offsetDelete(d.Groups, d.Image),
		alterPartition(d.ForBrokers),
		describeCluster(d.Image),
		describeProducers(d.Replicas),
		allocateProducerIDs(d.ForBrokers),
	}
	advertised.set(apis)
	return apis
}
