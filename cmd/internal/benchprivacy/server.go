package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// process is one that was started, and is stopped before the benchmark ends.
type process struct {
	cmd  *exec.Cmd
	gone chan struct{}
}

// startWait is how long a server may take to answer, and to end.
const startWait = 30 * time.Second

func start(cmd *exec.Cmd) (*process, error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd, make(chan struct{})}
	go func() {
		defer close(p.gone)
		_ = cmd.Wait() // it is told to end, and how it does says nothing
	}()
	return p, nil
}

func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-p.gone:
	case <-time.After(startWait):
		_ = p.cmd.Process.Kill()
		<-p.gone
	}
}

// server is a rapport serve.
type server struct {
	*process
	url, token string
}

func (b *bench) serve(ctx context.Context, file string) (*server, error) {
	token, err := os.ReadFile(filepath.Join(filepath.Dir(file), "token"))
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, b.Path, "-c", file, "serve", "--listen", "127.0.0.1:0", "--drain", "1s")
	log, err := os.CreateTemp(filepath.Dir(file), "serve-*.log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p, err := start(cmd)
	if err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if err != nil || !ok {
		p.stop()
		said, _ := os.ReadFile(log.Name()) // what there is
		return nil, fmt.Errorf("rapport serve does not listen: %w\n%s", err, said)
	}
	return &server{p, url, strings.TrimSpace(string(token))}, nil
}

// redis is a server that has every write on disk before it answers.
type redis struct {
	*process
	url string
}

func startRedis(ctx context.Context, dir string) (*redis, error) {
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, errors.New("redis-server is missing: install the Debian package redis-server")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	p, err := start(exec.CommandContext(ctx, binary, "--bind", "127.0.0.1", "--port", port, "--dir", dir, "--save", "", "--appendonly", "yes", "--appendfsync", "always", "--loglevel", "warning"))
	if err != nil {
		return nil, err
	}
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(startWait); ; {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			return &redis{p, "redis://" + addr + "/0"}, c.Close()
		}
		select {
		case <-p.gone:
			return nil, errors.New("redis-server ended at once")
		case <-poll.C:
			if time.Now().After(deadline) {
				p.stop()
				return nil, fmt.Errorf("redis-server does not answer at %s: %w", addr, err)
			}
		}
	}
}
