package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/configs"
)

// denial measures when a no is read, with each of the online stores.
func (b *bench) denial(ctx context.Context) error {
	dir := filepath.Join(b.Dir, "denial")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	defer b.drop(dir)
	redis, err := startRedis(ctx, dir)
	if err != nil {
		return err
	}
	defer redis.stop()
	for _, store := range []struct{ name, url string }{{"embedded", "embedded:./online"}, {"redis", redis.url}} {
		worst, err := b.denials(ctx, store.name, store.url, filepath.Join(dir, store.name))
		if err != nil {
			return fmt.Errorf("%s: %w", store.name, err)
		}
		b.AtMost("privacy_denial_"+store.name+"_s", worst.Seconds(), 1)
	}
	return nil
}

// denials publishes lists of a small world, lets two servers stand over them, and denies one person after another.
func (b *bench) denials(ctx context.Context, name, store, folder string) (worst time.Duration, err error) {
	file, err := b.shop(ctx, store, folder)
	if err != nil {
		return 0, err
	}
	if _, _, err := b.Call(ctx, "-c", file, "run", "nightly", "-o", "json"); err != nil {
		return 0, err
	}
	var servers [2]*server
	for i := range servers {
		if servers[i], err = b.serve(ctx, file); err != nil {
			return 0, err
		}
		defer servers[i].stop()
	}
	writer, reader := servers[0], servers[1]
	people, err := b.profiled(ctx, reader, b.tries+2*b.calls)
	if err != nil {
		return 0, err
	}
	ways := []struct {
		what  string
		tries int
		deny  func(id string) error
	}{
		{"a withdrawal sent to another server", b.tries, func(id string) error {
			_, err := writer.post(ctx, "/v1/consent", `{"records": [{"id": "`+id+`", "purpose": "recommend", "state": "Withdrawn", "source": "app"}]}`)
			return err
		}},
		{"rapport consent import", b.calls, func(id string) error {
			records := filepath.Join(folder, "no.csv")
			body := "subject,purpose,state,effective_at\n" + id + ",recommend,Withdrawn," + time.Now().UTC().Format(time.RFC3339) + "\n"
			if err := os.WriteFile(records, []byte(body), 0o600); err != nil {
				return err
			}
			_, _, err := b.Call(ctx, "-c", file, "consent", "import", records)
			return err
		}},
		{"rapport subject erase", b.calls, func(id string) error {
			ids := filepath.Join(folder, "ids")
			if err := os.WriteFile(ids, []byte(id+"\n"), 0o600); err != nil {
				return err
			}
			_, _, err := b.Call(ctx, "-c", file, "subject", "erase", "--ids", ids)
			return err
		}},
	}
	for _, w := range ways {
		var took []time.Duration
		for _, id := range people[:w.tries] {
			d, err := untilRead(ctx, reader, id, func() error { return w.deny(id) })
			if err != nil {
				return 0, fmt.Errorf("%s: %w", w.what, err)
			}
			took = append(took, d)
		}
		people = people[w.tries:]
		slices.Sort(took)
		most := took[len(took)-1]
		worst = max(worst, most)
		b.Say("denial", "%-8s %-36s read elsewhere after %.3f s (median of %d), %.3f s at most", name, w.what, took[len(took)/2].Seconds(), len(took), most.Seconds())
	}
	return worst, nil
}

// readWithin is how long a denial is waited for.
const readWithin = 30 * time.Second

// untilRead denies a person and returns the time from before that until a server's answer is not based on profiling.
func untilRead(ctx context.Context, s *server, id string, deny func() error) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	done := make(chan error, 1)
	began := time.Now()
	go func() { done <- deny() }()
	for {
		personal, err := s.personal(ctx, id)
		if err == nil && personal {
			continue
		}
		took := time.Since(began)
		if err := errors.Join(err, <-done); err != nil {
			return 0, err
		}
		return took, nil
	}
}

// profiled finds people whose list is their own.
func (b *bench) profiled(ctx context.Context, s *server, n int) (out []string, err error) {
	for i := 1; i <= b.people && len(out) < n; i++ {
		id := fmt.Sprintf("u%06d", i)
		personal, err := s.personal(ctx, id)
		if err != nil {
			return nil, err
		}
		if personal {
			out = append(out, id)
		}
	}
	if len(out) < n {
		return nil, fmt.Errorf("%d of %d people have a list of their own, and %d are needed", len(out), b.people, n)
	}
	return out, nil
}

// shop makes the quickstart's world and project, with the last event of last night and a job that fell due two hours ago: servers find nothing to run.
func (b *bench) shop(ctx context.Context, store, folder string) (file string, err error) {
	const days = 7
	now := time.Now().UTC()
	due, today := now.Add(-2*time.Hour), now.Truncate(24*time.Hour)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", err
	}
	if _, _, err := b.Call(ctx, "synth", "--start", today.AddDate(0, 0, -days).Format(time.DateOnly), "--to", "file:"+filepath.Join(folder, "raw"),
		"--users", strconv.Itoa(b.people), "--items", "200", "--days", strconv.Itoa(days), "--events-per-user", "20"); err != nil {
		return "", err
	}
	body, err := configs.Template("quickstart", now, "")
	if err != nil {
		return "", err
	}
	var lines []string
	for line := range strings.Lines(string(body)) {
		switch {
		case strings.HasPrefix(line, "clock:"), strings.Contains(line, "budgets:"), strings.Contains(line, "{metric:"):
			continue // it is live, and what is published is not what is measured
		case strings.HasPrefix(line, "online:"):
			line = "online: " + store + "\n"
		case strings.Contains(line, "parts:"):
			line = "    parts: [popular, again]\n"
		case strings.Contains(line, `schedule: "0 3 * * *"`):
			line = fmt.Sprintf("    schedule: \"%d %d * * *\"\n    catch_up: 12h\n", due.Minute(), due.Hour())
		}
		lines = append(lines, line)
	}
	if err := secret(filepath.Join(folder, "pseudonym.key")); err != nil {
		return "", err
	}
	if err := secret(filepath.Join(folder, "token")); err != nil {
		return "", err
	}
	file = filepath.Join(folder, "rapport.yaml")
	return file, os.WriteFile(file, []byte(strings.Join(lines, "")+"serve: {token: \"file:./token\"}\n"), 0o644)
}

// post asks a server and returns the body of its answer.
func (s *server) post(ctx context.Context, path, body string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+s.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var out bytes.Buffer
	if _, err := out.ReadFrom(resp.Body); err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("POST %s: %s: %s", path, resp.Status, out.Bytes())
	}
	return out.Bytes(), nil
}

// personal reports whether the list that a server gives a person is based on profiling.
func (s *server) personal(ctx context.Context, id string) (bool, error) {
	body, err := s.post(ctx, "/v1/recommend", `{"id": "`+id+`", "k": 5}`)
	if err != nil {
		return false, err
	}
	var list struct{ Personalized bool }
	err = json.Unmarshal(body, &list)
	return list.Personalized, err
}
