package rewrite_test

import (
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"unroot/internal/finding"
	"unroot/internal/image/imagetest"
	"unroot/internal/plan"
	"unroot/internal/rewrite"
	"unroot/internal/rootfs"
	"unroot/internal/startup"
)
