package handlers

// Table lists every API that this broker handles, in key order. What is not in it is neither dispatched nor advertised.
func Table(d Deps) []API {
	advertised := &advertisement{}
	apis := []API{
		saslHandshake(),
		apiVersions(advertised),
		saslAuthenticate(),
	}
	advertised.set(apis)
	return apis
}
