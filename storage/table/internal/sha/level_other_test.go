//go:build !amd64 || purego

package sha

func available(level int) bool { return level == portable }
