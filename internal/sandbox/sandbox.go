// Package sandbox runs images, confined: by itself in namespaces, or in a container of an engine.
package sandbox

import "unroot/internal/sandbox/launch"

// Stage runs the stage that os.Args[0] names and does not return then: a runner starts this program
// again, under such names. It must be the first thing in main, and in TestMain of tests that run
// images.
func Stage() bool { return launch.Stage() }
