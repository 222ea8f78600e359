package verify

// The types of an in-toto statement (https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md).
const (
	StatementType = "https://in-toto.io/Statement/v1"
	PredicateType = "https://unroot.dev/proof/v1"
	// MediaType is the artifact type under which a statement is stored beside its image.
	MediaType = "application/vnd.in-toto+json"
)
