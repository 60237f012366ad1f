package handlers

// Table lists every API that this broker handles, in key order. What is not in it is neither dispatched nor advertised.
func Table(d Deps) []API {
	advertised := &advertisement{}
	apis := []API{
		produce(d.Replicas),
		fetch(d.Replicas, d.Fetch),
		listOffsets(d.Replicas),
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
		deleteRecords(d.Replicas),
		initProducerID(d.ProducerIDs),
		offsetForLeaderEpoch(d.Replicas),
		describeLogDirs(d.Directories),
		saslAuthenticate(),
		deleteGroups(d.Groups),
		offsetDelete(d.Groups, d.Image),
		describeProducers(d.Replicas),
	}
	advertised.set(apis)
	return apis
}
