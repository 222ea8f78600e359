//go:build !linux

package probe

import (
	"context"
	"fmt"
	"net"

	"unroot/internal/verify"
)

func dial(context.Context, endpoint, World) (net.Conn, error) {
	return nil, fmt.Errorf("%w: probes need Linux; use an engine", verify.ErrUnavailable)
}

func isRefused(error) bool { return false }

func isMissing(error) bool { return false }
