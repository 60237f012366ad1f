package handlers

// Table lists every API that this broker handles, in key order. What is not in it is neither dispatched nor advertised.
func Table(d Deps) []API {
	advertised := &advertisement{}
	apis := []API{
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
		saslAuthenticate(),
		deleteGroups(d.Groups),
		offsetDelete(d.Groups, d.Image),
	}
	advertised.set(apis)
	return apis
}
