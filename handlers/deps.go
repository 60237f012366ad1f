package handlers

// Deps is what the handlers ask: the parts of the broker, each as the small interface that its handler declares.
type Deps struct{}
