package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A holder's name in a lease says which process has it, so that a successor on the same machine need not wait until the lease of a process
// that was killed expires: "HOST pid PID (MACHINE/START)". MACHINE is a hash of the kernel's boot id and of the pid namespace: only within
// both does a pid mean the same process, whatever hosts are called. START, in clock ticks since boot, tells a process from a later one that
// was given its pid. Where the system does not say (no /proc), the name ends after the pid and leases are waited for.

// holder names this process.
func holder() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	name := fmt.Sprintf("%s pid %d", host, os.Getpid())
	start, _, err := started(os.Getpid())
	if machine := machine(); machine != "" && err == nil {
		name += fmt.Sprintf(" (%s/%d)", machine, start)
	}
	return name
}

var holderName = regexp.MustCompile(`pid ([0-9]+) \(([0-9a-f]{16})/([0-9]+)\)$`)

// dead reports whether the process that a lease names is known to have ended. If it ran elsewhere, or before the last boot, nothing is
// known of it.
func dead(holder string) bool {
	m := holderName.FindStringSubmatch(holder)
	if m == nil || m[2] != machine() {
		return false
	}
	pid, err := strconv.Atoi(m[1])
	if err != nil || pid < 1 {
		return false
	}
	if errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
		return true
	}
	start, gone, err := started(pid)
	return err == nil && (gone || strconv.FormatUint(start, 10) != m[3])
}

// machine names this boot of this kernel and this pid namespace, or is "" where the system does not tell.
func machine() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	namespace, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	sum := sha256.Sum256([]byte(strings.TrimSpace(string(boot)) + " " + namespace))
	return hex.EncodeToString(sum[:8])
}

// started returns when a process started, in clock ticks since boot, and whether it has ended and only its parent has not noticed yet.
func started(pid int) (ticks uint64, gone bool, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, false, err
	}
	// proc(5): the second field, a name in parentheses, may hold anything; the third is the state, the 22nd the start.
	text := string(stat)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 20 {
		return 0, false, fmt.Errorf("process %d: its stat has %d fields after its name", pid, len(fields))
	}
	ticks, err = strconv.ParseUint(fields[19], 10, 64)
	return ticks, fields[0] == "Z" || fields[0] == "X", err
}
