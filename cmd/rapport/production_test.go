package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/cmd/internal/synth"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/storagetest"
)

// production is a project as a team runs it: raw data and everything durable on an S3 server, lists in a Redis, and a world that ended
// last midnight, so that the machine's clock is the job's.
type production struct {
	testing.TB
	world  synth.World
	s3     *storagetest.S3
	redis  *storagetest.Redis
	bucket string
}

// longWorld is long enough that nobody's consent changes within its last week (synth/doc.go), so that a night decides alike whenever it is
// made up for.
var longWorld = synth.World{Users: 120, Items: 60, Days: 36, Seed: 11, EventsPerUser: 90}

func newProduction(t *testing.T) *production {
	t.Helper()
	p := &production{TB: t, world: longWorld, s3: storagetest.StartS3(t), redis: storagetest.StartRedis(t, storagetest.RedisOptions{Durable: true}), bucket: "s3://shop/prod"}
	today := time.Now().UTC().Truncate(24 * time.Hour)
	p.world.Start = today.AddDate(0, 0, -p.world.Days)
	storagetest.MakeBucket(t, p.s3.Options(), "shop")
	b, err := storage.Open(t.Context(), p.bucket+"/raw", p.s3.Options())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.world.Write(t.Context(), b, ""); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", p.s3.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", p.s3.SecretKey)
	return p
}

// project writes a project over a part of the bucket and an online store.
func (p *production) project(lake, online, catchUp string) string {
	p.Helper()
	dir := p.TempDir()
	o := p.s3.Options().S3
	text := projectYAML(p, p.bucket+"/raw/", fmt.Sprintf("{url: %q, endpoint: %q, region: %s, path_style: true, credentials: env}", p.bucket+"/"+lake, o.Endpoint, o.Region))
	var lines []string
	for _, l := range strings.Split(text, "\n") {
		switch {
		case strings.HasPrefix(l, "clock:"), strings.Contains(l, "{metric:"), strings.Contains(l, "budgets:"): // what the gate says of this week is not what is tested
			continue
		case strings.HasPrefix(l, "online:"):
			l = "online: " + online
		case strings.Contains(l, `schedule: "0 3 * * *"`):
			l = "    schedule: \"0 0 * * *\"\n    catch_up: " + catchUp
		}
		lines = append(lines, strings.Replace(l, "als, content]", "als: {dim: 8, epochs: 3}]", 1))
	}
	writeProject(p, dir, strings.Join(lines, "\n")+"\nserve: {token: env:SHOP_TOKEN}\n")
	return dir
}

// equal says how two contents differ.
func (c content) equal(t *testing.T, want content) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want.Tables)) {
		if c.Tables[name] != want.Tables[name] {
			t.Errorf("%s:\n  %s\nwant\n  %s", name, c.Tables[name], want.Tables[name])
		}
	}
	if len(c.Tables) != len(want.Tables) || !slices.Equal(c.Artifact, want.Artifact) {
		t.Errorf("%d steps and versions\n  %v\nwant %d and\n  %v", len(c.Tables), c.Artifact, len(want.Tables), want.Artifact)
	}
	if !maps.Equal(c.Online, want.Online) {
		t.Errorf("%d entries online, want %d, and not the same", len(c.Online), len(want.Online))
	}
}

// TestProduction is what this program is for: a server on the machine's clock, over a real S3 server and a real Redis, makes up a week of
// nights that it was not there for, and comes to the same tables, models and lists as a week of cron on a simulated clock over a
// folder's online store.
func TestProduction(t *testing.T) {
	p := newProduction(t)
	const nights = 7
	end := p.world.Start.AddDate(0, 0, p.world.Days)

	simulated := p.project("simulated", "embedded:./online", "0s")
	t.Setenv("SHOP_TOKEN", "open sesame")
	from := end.AddDate(0, 0, 1-nights).Add(-time.Minute)
	rapportIn(t, simulated, exitOK, "serve", "--listen", "127.0.0.1:0", "--simulate", from.Format(time.RFC3339)+".."+end.Add(time.Minute).Format(time.RFC3339))
	want := contentIn(t, simulated)
	if len(want.Artifact) != nights || len(want.Online) < 100 {
		t.Fatalf("a simulated week made the versions %v and %d entries", want.Artifact, len(want.Online))
	}

	real := p.project("real", p.redis.URL(0), "7d")
	server := startServe(t, real+"/"+projectFile)
	until(t, "a week is made up for", func() bool {
		_, body := server.get("/v1/status", "open sesame")
		var s jobs.Status
		if err := json.Unmarshal([]byte(body), &s); err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		return len(s.Jobs) == 1 && s.Jobs[0].Version == nights && s.Jobs[0].Online == "in step with the alias"
	})
	if code, body := server.get("/readyz", "open sesame"); code != 200 {
		t.Errorf("/readyz: %d %s", code, body)
	}
	server.signal(syscall.SIGTERM, exitOK)
	contentIn(t, real).equal(t, want)
	rapportIn(t, real, exitOK, "online", "verify")
	rapportIn(t, real, exitOK, "status")
}

// TestStorageAway stops the S3 server in the middle of a run: the run fails and says so; started again, the same command resumes, does no step
// twice, and comes to what an undisturbed run comes to.
func TestStorageAway(t *testing.T) {
	p := newProduction(t)
	undisturbed := p.project("undisturbed", "embedded:./online", "0s")
	rapportIn(t, undisturbed, exitOK, "run", "nightly")
	want := contentIn(t, undisturbed)

	dir := p.project("disturbed", "embedded:./online", "0s")
	prj, err := openChaos(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer prj.Close()
	job, err := prj.Job("nightly")
	if err != nil {
		t.Fatal(err)
	}
	// The server goes when the model is to be trained: days are ingested, views built.
	prj.runner.Progress = func(x jobs.Progress) {
		if x.Step == "train" {
			p.s3.Stop(t)
		}
	}
	now := prj.runner.Now()
	res, err := prj.runner.Run(t.Context(), job, job.Every.At(now), jobs.Options{Through: jobs.ThroughPublish, Cause: "run"})
	if err == nil {
		t.Fatalf("a run without storage: %s", res.Status)
	}
	p.s3.Start(t)
	// The run that failed could not give its lease back; its process lives on here, so it is waited for.
	prj.runner.Progress, prj.runner.Wall = nil, func() time.Time { return time.Now().Add(3 * time.Minute) }
	again, err := prj.runner.Run(t.Context(), job, job.Every.At(now), jobs.Options{Through: jobs.ThroughPublish, Cause: "run"})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range again.Steps {
		if (s.Name == "ingest" || s.Name == "build") && s.Status != "skipped" {
			t.Errorf("%s %s is done again", s.Name, s.Label)
		}
	}
	contentIn(t, dir).equal(t, want)
	if lines := linesOf(t, prj.Bucket); len(lines) != 2 {
		t.Errorf("%d runs in the ledger", len(lines))
	}
}
