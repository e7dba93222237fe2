package online

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// info reads one section of what the server says of itself.
func (s *redisStore) info(ctx context.Context, patience time.Duration, section string) (map[string]string, error) {
	var text string
	err := s.try(ctx, patience, func() (err error) {
		text, err = s.client.Info(ctx, section).Result()
		return err
	})
	out := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			out[name] = value
		}
	}
	return out, err
}

// server reads the facts of the server.
func (s *redisStore) server(ctx context.Context) (*ServerFacts, error) {
	facts := map[string]string{}
	for _, section := range []string{"server", "memory", "replication", "persistence"} {
		part, err := s.info(ctx, s.brief(), section)
		if err != nil {
			return nil, err
		}
		for name, value := range part {
			facts[name] = value
		}
	}
	number := func(name string) int64 {
		n, _ := strconv.ParseInt(facts[name], 10, 64) // 0 where a server does not tell
		return n
	}
	f := &ServerFacts{
		Version: facts["redis_version"], Role: facts["role"], UsedMemory: number("used_memory"), MaxMemory: number("maxmemory"),
		Eviction: facts["maxmemory_policy"], Persistence: "none",
	}
	switch {
	case facts["aof_enabled"] == "1":
		f.Persistence = "aof"
	case number("rdb_saves") > 0:
		f.Persistence = "rdb"
	}
	return f, nil
}

// evicts reports whether the server may throw rows away.
func (f *ServerFacts) evicts() bool {
	return f.MaxMemory > 0 && f.Eviction != "" && f.Eviction != "noeviction"
}

// warnings says what about the server is worth knowing.
func (f *ServerFacts) warnings() (out []string) {
	if f.MaxMemory == 0 && f.Eviction != "noeviction" && f.Eviction != "" {
		out = append(out, fmt.Sprintf("maxmemory-policy is %s: if maxmemory is ever set, rows and the deny set may be evicted (CONFIG SET maxmemory-policy noeviction)", f.Eviction))
	}
	if f.Role == "slave" {
		out = append(out, "this server is a replica: it can be read, and nothing can be published to it (name the primary in the project file)")
	}
	if f.Persistence == "none" {
		out = append(out, "nothing is kept on disk: after a restart the store is empty until `rapport online load` or the next run fills it")
	}
	return out
}

func (f *ServerFacts) evictionFault() string {
	return fmt.Sprintf("Redis evicts what it likes when it is full (maxmemory %d bytes, maxmemory-policy %s), be it a part of a generation or the deny set: "+
		"CONFIG SET maxmemory-policy noeviction, here and in its config file, or give this project a server of its own", f.MaxMemory, f.Eviction)
}

// checkEviction refuses a server that may throw away what is loaded. One that does not tell is trusted; `rapport online status` says so.
func (s *redisStore) checkEviction(ctx context.Context) error {
	memory, err := s.info(ctx, s.o.Patience, "memory")
	if err != nil {
		if away(err) || ctx.Err() != nil {
			return err
		}
		return nil
	}
	n, _ := strconv.ParseInt(memory["maxmemory"], 10, 64) // 0 where it does not tell
	if f := (&ServerFacts{MaxMemory: n, Eviction: memory["maxmemory_policy"]}); f.evicts() {
		return fmt.Errorf("%s", f.evictionFault())
	}
	return nil
}
