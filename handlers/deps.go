package handlers

// Deps is what the handlers ask: the parts of the broker, each as the small interface that its handler declares.
type Deps struct {
	Replicas    replicas
	Fetch       FetchOptions
	ProducerIDs producerIDs
	Directories directories

	Groups            groupCoordinator
	Image             clusterImage
	InternalTopics    internalTopics
	LegacyOffsets     legacyOffsets
	OffsetMetadataMax int // offset.metadata.max.bytes
}

// replicas is what the handlers of records and their offsets ask, together.
type replicas interface {
	appender
	reader
	offsetLister
	epochs
	recordDeleter
	producerLister
}
