//go:build !linux

package volume

import "os"

func startWriteback(*os.File, int64, int64) {}
