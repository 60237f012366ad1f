package handlers

import "gokafka/cluster/config"

// Deps is what the handlers ask: the parts of the broker, each as the small interface that its handler declares.
type Deps struct {
	Replicas     replicas
	Verification txnVerifier
	Markers      markerWriter
	Own          registration // this broker's registration
	Fetch        FetchOptions
	ProducerIDs  producerIDs
	Directories  directories

	Config            *config.Broker
	Admin             administrator
	Controller        controller
	ForBrokers        brokersController
	Groups            groupCoordinator
	Transactions      txnCoordinator
	Image             toldImage
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
	replicaMover
	told
}

// administrator is cluster/admin.Admin, in the parts that single handlers declare.
type administrator interface {
	topicCreator
	topicMaker
	topicDeleter
	topicGrower
	configDescriber
	configReplacer
	configAlterer
}

// controller is this broker's controller, whether it is the cluster's or not.
type controller interface {
	active
	leaderElector
	reassigner
}

// brokersController is this broker's controller as other brokers ask it.
type brokersController interface {
	shutdowns
	partitionAlterer
	producerIDBlocks
}
