package prepare

import "slices"

// identity is who runs.
type identity struct {
	uid, gid uint32
	groups   []uint32 // supplementary, without gid
}

// status is what stat(2) tells and a judgement needs.
type status struct {
	uid, gid uint32
	mode     uint32 // permission bits with setuid, setgid and sticky
	dir      bool
}

// want is what an order asks of a path.
type want int

const (
	wantWrite want = iota // it can be written
	wantOwn               // it is the running user's, with a mode
	wantFill              // it gets its content of the image
	wantRun               // the private directory: copies must be made there
	wantInner             // it can be written, and so can what is in it; this only warns
)

// failure is why a path will not do, as far as an error number tells.
type failure int

const (
	failDenied   failure = iota // EACCES, EPERM
	failReadOnly                // EROFS
	failGone                    // what was mounted does not answer, or is gone
	failOther
)

// contents is what a directory holds, by a look at its first entries.
type contents struct {
	known  bool   // it could be looked at
	empty  bool   // but for lost+found
	name   string // an entry that is not the running user's and that it cannot write; "" where there is none
	status status // of that entry
	more   int    // how many others there are of the kind, of those that were looked at
}

// trouble is one path that will not do.
type trouble struct {
	path    string // as the order has it
	want    want
	failure failure
	error   string // the kernel's word
	at      string // path, or what is there of it: links resolved
	status  status // of at
	unknown bool   // not even that could be asked
	inside  contents
	mount   mount
	place   place
	note    string // what else there is to say
}

// verdict on the private directory.
type runVerdict int

const (
	runGood runVerdict = iota
	runTighten
	runForeign
)

// judgeRun says whether a directory can hold private things: the running user's own, as the image has
// it one in which only group 0 may write, of which it is a member, or root's, open to all: a tmpfs of
// an engine over a directory that was not there (1777), or an emptyDir of the kubelet (0777).
func judgeRun(st status, id identity) runVerdict {
	switch {
	case st.uid == id.uid && st.mode&0o022 == 0, st.gid == 0 && st.mode&0o002 == 0, st.uid == 0:
		return runGood
	case st.uid == id.uid:
		return runTighten
	}
	return runForeign
}

// shape is what a path that will not do looks like.
type shape int

const (
	shapeFresh     shape = iota // empty and root's: nobody has given it to anybody
	shapeLeft                   // root's data
	shapeArbitrary              // data of another uid that a platform picked
	shapeForeign                // data of some other user
	shapeMode                   // the owner or the group is right, the mode is not
	shapeBarred                 // the mode would do: a server or a security module says no
)

// arbitraryFirst is where uids begin that platforms pick: OpenShift's ranges begin at 1,000,000,000.
const arbitraryFirst = 1_000_000_000

// look says what a path that will not do looks like.
func look(t trouble, id identity) shape {
	st := t.status
	if t.want == wantInner {
		st = t.inside.status
	}
	switch {
	case t.want != wantOwn && allows(st, id):
		return shapeBarred
	case st.uid == id.uid, t.want != wantOwn && id.in(st.gid) && st.gid != 0:
		return shapeMode
	case st.uid == 0 && (t.inside.empty || !st.dir && t.want != wantInner):
		return shapeFresh
	case st.uid == 0:
		return shapeLeft
	case st.uid >= arbitraryFirst:
		return shapeArbitrary
	}
	return shapeForeign
}

// allows says what the permission bits say of writing, and of searching in a directory.
func allows(st status, id identity) bool {
	need := uint32(0o2)
	if st.dir {
		need = 0o3
	}
	switch {
	case id.uid == 0:
		return true
	case st.uid == id.uid:
		return st.mode>>6&need == need
	case id.in(st.gid):
		return st.mode>>3&need == need
	}
	return st.mode&need == need
}

func (id identity) in(gid uint32) bool { return gid == id.gid || slices.Contains(id.groups, gid) }
