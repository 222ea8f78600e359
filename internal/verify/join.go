package verify

// With is the proof with the runs of another one of the same candidate, and the verdict of both.
func (p Proof) With(more Proof) Proof {
	p.Reasons = append(p.Reasons[:len(p.Reasons):len(p.Reasons)], more.Reasons...)
	p.Results = append(p.Results[:len(p.Results):len(p.Results)], more.Results...)
	p.Took += more.Took
	p.settle()
	return p
}
