package sandbox

// What front and lab say to each other beside agent.Request: JSON in messages of wire.Ready and wire.Image.

// labSetup is the front's first message: the ids of the lab are there, and this is how it is to be.
type labSetup struct {
	Room      int64 `json:"room"`      // bytes of images
	Folder    bool  `json:"folder"`    // images go into the working directory that the lab was started in
	UpperDisk bool  `json:"upperDisk"` // so does what runs write, also where a tmpfs would do
	Watch     bool  `json:"watch"`     // the lab watches the memory of runs: no cgroup does
}

// labReady is the answer.
type labReady struct {
	NeedFolder bool   `json:"needFolder"`       // a tmpfs of this kernel does not serve overlays
	Masked     bool   `json:"masked,omitempty"` // the error: no proc can be mounted
	Error      string `json:"error,omitempty"`
}

// imageOrder names the image of the runs that follow, by the digests of its stored layers, bottom
// first. The sizes are those of the stored bytes.
type imageOrder struct {
	Layers []string `json:"layers"`
	Sizes  []int64  `json:"sizes"`
}

// imageAnswer says from which layer on the lab wants them.
type imageAnswer struct {
	From int `json:"from"`
}

const labStage = "unroot-lab"
