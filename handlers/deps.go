package handlers

// Deps is what the handlers ask: the parts of the broker, each as the small interface that its handler declares.
type Deps struct {
	Groups            groupCoordinator
	Image             clusterImage
	InternalTopics    internalTopics
	LegacyOffsets     legacyOffsets
	OffsetMetadataMax int // offset.metadata.max.bytes
}
