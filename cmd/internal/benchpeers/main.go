package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/cmd/internal/benchmark"
	"github.com/rapport-ml/rapport/cmd/internal/benchpeers/peers"
	"github.com/rapport-ml/rapport/models/als"
)

func main() { benchmark.Main("benchpeers", run) }

// scale is how large a run is.
type scale struct {
	shape
	dims           string
	epochs         int
	exact          int     // epochs beside Cholesky at up to 64 dimensions, each of which takes minutes; fewer beyond (cholesky)
	share          int     // the stochastic peers get one subject of so many
	bpr, warp      int     // epochs of the stochastic peers
	regularization float64 // λ
}

var scales = map[string]scale{
	"full": {shape{138_493, 26_744, 20_000_000, 5000}, "64,128", 4, 2, 10, 100, 10, 5},
	"ci":   {shape{5000, 1500, 200_000, 1000}, "16", 3, 2, 2, 3, 3, 2},
}

// cholesky is how many epochs Cholesky gets at d dimensions: the time of an epoch grows with their square.
func (s *scale) cholesky(d int) int { return max(1, s.exact*64/max(64, d)) }

// weight is α₀ of the problem: implicit's confidence of 11 for a seen pair.
const weight = 0.1

const seed = 1

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	flags := flag.NewFlagSet("benchpeers", flag.ContinueOnError)
	size := flags.String("size", "full", "full, or ci: small, without targets")
	only := flags.String("only", "als,sgd", "what to run: als (implicit's ALS beside ours), sgd (BPR and WARP, in quality alone)")
	dims := flags.String("dims", "", "dimensions, with commas, if not those of the size")
	epochs := flags.Int("epochs", 0, "epochs of alternating least squares beside conjugate gradients, if not those of the size")
	keep := flags.String("keep", "", "folder that keeps the peers' Python environment; empty: rapport's in the user's cache")
	python := flags.String("python", "", "the Python that makes the environment (3.11); empty: python3.11 or python3 of the PATH")
	child := flags.Bool("child", false, "train our als by a task on the standard input (the program calls itself so)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *child {
		return work(ctx, in, out)
	}
	s, ok := scales[*size]
	if !ok {
		return fmt.Errorf("-size %s: want full or ci", *size)
	}
	s.dims, s.epochs = cmp.Or(*dims, s.dims), cmp.Or(*epochs, s.epochs)
	if s.epochs < 2 {
		return fmt.Errorf("-epochs %d: want 2 or more", s.epochs)
	}
	wanted := strings.Split(*only, ",")
	for _, name := range wanted {
		if name != "als" && name != "sgd" {
			return fmt.Errorf("-only %s: no such part", name)
		}
	}
	var widths []int
	for _, text := range strings.Split(s.dims, ",") {
		d, err := strconv.Atoi(text)
		if err != nil || d < 1 || d > 1024 {
			return fmt.Errorf("-dims %s: %q is no dimension from 1 to 1024", s.dims, text)
		}
		widths = append(widths, d)
	}
	cache := *keep
	if cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return fmt.Errorf("find a folder for the peers: %w: name one with -keep", err)
		}
		cache = filepath.Join(user, "rapport")
	}
	env, err := peers.Open(ctx, cache, *python, os.Stderr)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "rapport-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{Report: benchmark.Report{Out: out, CI: *size == "ci", Width: 18, Digits: 6}, scale: s, env: env, path: filepath.Join(dir, "matrix")}
	b.Say("machine", "%s; as many threads for each side", benchmark.Machine())
	f := env.Facts
	b.Say("peers", "Python %s, implicit %s, NumPy %s, SciPy %s with %s; LightFM %s", f.Python, f.Implicit, f.NumPy, f.SciPy, f.BLAS, cmp.Or(f.LightFM, "missing"))
	if env.NoLightFM != "" {
		b.Say("", "%s", env.NoLightFM)
	}
	b.began = time.Now()
	b.tell("making the data")
	b.world = generate(s.shape, seed)
	if err := b.world.train.WriteFile(b.path); err != nil {
		return err
	}
	m := b.world.train
	b.Say("data", "%d subjects × %d items, %d pairs, and %d held out of %d subjects; %.1f s", m.Subjects(), m.Items, len(m.Col), b.held(), len(b.world.judged), time.Since(b.began).Seconds())
	c := 1 + 1/weight
	b.Say("problem", "α₀ = %g, λ = %g, ν = 0: implicit's confidence %g and regularization %g; init sd 0.1/√d, the same items' vectors for all",
		weight, s.regularization, c, c*s.regularization)
	if slices.Contains(wanted, "als") {
		if err := b.als(ctx, widths); err != nil {
			return err
		}
	}
	if slices.Contains(wanted, "sgd") {
		if err := b.sgd(ctx, widths[0]); err != nil {
			return err
		}
	}
	b.Say("", "(ends after %.0f s)", time.Since(b.began).Seconds())
	b.Targets()
	return nil
}

// bench is one run.
type bench struct {
	benchmark.Report
	scale
	env   *peers.Env
	began time.Time
	world *world
	path  string // of the matrix
}

// tell says on the standard error what begins now: a fit may take minutes.
func (b *bench) tell(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%4.0f s  %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, args...))
}

func (b *bench) held() int {
	n := 0
	for _, h := range b.world.held {
		n += len(h)
	}
	return n
}

// entrant is a finished training, as it is compared.
type entrant struct {
	epoch, whole, cpu float64 // seconds: median epoch, fit, processor time of the fit
	related           float64 // seconds after it, of ours
	objective         float64
	ndcg              []float64 // by judged subject
}

func (b *bench) row(name string, d int, e entrant, remark string) {
	b.Say(name, "d=%-4d epoch %8.3f s  fit %8.2f s  processor %8.2f s  objective %.6g  nDCG@10 %.4f%s", d, e.epoch, e.whole, e.cpu, e.objective, mean(e.ndcg), remark)
}

// als trains ours and implicit's two, one after the other, at each dimension.
func (b *bench) als(ctx context.Context, dims []int) error {
	p := problem{weight: weight, regularization: b.regularization}
	speedup, objective := map[string]float64{peers.CG: math.Inf(1), peers.Cholesky: math.Inf(1)}, map[string]float64{}
	quality, tolerance := math.Inf(1), 0.0
	for _, d := range dims {
		var epoch float64 // ours, of the longer training
		for _, duel := range []struct {
			kind   string
			epochs int
		}{{peers.CG, b.epochs}, {peers.Cholesky, b.cholesky(d)}} {
			kind := duel.kind
			our, err := b.ours(ctx, b.world, d, duel.epochs)
			if err != nil {
				return err
			}
			epoch = cmp.Or(epoch, our.epoch)
			our.epoch = epoch
			b.row("als (ours)", d, our, fmt.Sprintf(" after %d epochs  (and %.2f s for neighbours)", duel.epochs, our.related))
			b.tell("%s d=%d: %d epochs, after a try on a slice", kind, d, duel.epochs)
			v, err := b.env.Train(ctx, b.path, b.world.train, peers.Fit{
				Kind: kind, Factors: d, Iterations: duel.epochs, Seed: seed, Weight: weight, Regularization: b.regularization,
				InitSD: 0.1 / math.Sqrt(float64(d)), Start: start(b.world.train, seed, d), Fold: b.world.judged,
			})
			if err != nil {
				return err
			}
			b.tell("judging %s", kind)
			their := entrant{epoch: benchmark.Median(v.Epochs), whole: v.Seconds, cpu: v.CPU, objective: p.objective(b.world.train, v.Users, v.Items, v.Width)}
			if their.ndcg, err = ndcg(b.world, v.Folded, v.Items, v.Width); err != nil {
				return fmt.Errorf("%s: %w", kind, err)
			}
			b.row(kind, d, their, fmt.Sprintf(" after %d epochs  (BLAS threads: %d)", duel.epochs, v.BLASThreads))
			ratio, half := compare(our.ndcg, their.ndcg)
			b.Say("", "d=%-4d ours is %.2f× as fast by epoch, %.2f× by fit, %.2f× by processor time; objective %.5f and nDCG@10 %.4f (± %.4f) of theirs",
				d, their.epoch/our.epoch, their.whole/our.whole, their.cpu/our.cpu, our.objective/their.objective, ratio, half)
			speedup[kind] = min(speedup[kind], their.epoch/our.epoch, their.whole/our.whole)
			objective[kind] = max(objective[kind], our.objective/their.objective)
			if equal := max(half, 0.001); ratio+equal < quality+tolerance { // vectors that are almost the same have a narrower interval than matters
				quality, tolerance = ratio, equal
			}
		}
	}
	b.AtLeast("peers_implicit_cg_speedup", speedup[peers.CG], 2)
	b.AtLeast("peers_implicit_cholesky_speedup", speedup[peers.Cholesky], 2)
	b.AtMost("peers_objective", objective[peers.CG], 1)
	b.AtMost("peers_objective_exact", objective[peers.Cholesky], 1.001)
	b.AtLeast("peers_ndcg", quality, 1-tolerance)
	return nil
}

// ours trains our als on a world.
func (b *bench) ours(ctx context.Context, w *world, d, epochs int) (entrant, error) {
	b.tell("als (ours) d=%d: %d epochs", d, epochs)
	o, err := ours(ctx, task{
		Matrix: b.path, Seed: seed, Fold: w.judged,
		Hyper: als.Hyper{Dim: d, Epochs: epochs, Weight: weight, Regularization: b.regularization, MinSubjects: 1},
	})
	if err != nil {
		return entrant{}, err
	}
	e := entrant{whole: o.Seconds, cpu: o.CPU, related: o.Related, objective: o.Objective[len(o.Objective)-1]}
	if len(o.Epochs) > 0 { // none of one epoch
		e.epoch = benchmark.Median(o.Epochs)
	}
	e.ndcg, err = ndcg(w, o.Folded, o.Items, d)
	return e, err
}

// sgd trains the stochastic peers, and ours beside them, on some of the subjects: they take many epochs, and LightFM has one thread.
func (b *bench) sgd(ctx context.Context, d int) error {
	w := b.world.part(b.share)
	if err := w.train.WriteFile(b.path); err != nil {
		return err
	}
	b.Say("part", "%d subjects, all %d judged among them, %d pairs", w.train.Subjects(), len(w.judged), len(w.train.Col))
	our, err := b.ours(ctx, w, d, als.Defaults().Epochs)
	if err != nil {
		return err
	}
	b.Say("als (ours)", "d=%-4d fit %8.2f s  processor %8.2f s  nDCG@10 %.4f after %d epochs", d, our.whole, our.cpu, mean(our.ndcg), als.Defaults().Epochs)
	for _, peer := range []struct {
		kind   string
		epochs int
	}{{peers.BPR, b.bpr}, {peers.WARP, b.warp}} {
		if peer.kind == peers.WARP && b.env.Facts.LightFM == "" {
			b.Say(peer.kind, "not run: %s", b.env.NoLightFM)
			continue
		}
		b.tell("%s d=%d: %d epochs", peer.kind, d, peer.epochs)
		v, err := b.env.Train(ctx, b.path, w.train, peers.Fit{Kind: peer.kind, Factors: d, Iterations: peer.epochs, Seed: seed})
		if err != nil {
			return err
		}
		users := make([]float32, 0, len(w.judged)*v.Width)
		for _, s := range w.judged {
			users = append(users, v.Users[s*v.Width:][:v.Width]...)
		}
		each, err := ndcg(w, users, v.Items, v.Width)
		if err != nil {
			return fmt.Errorf("%s: %w", peer.kind, err)
		}
		b.Say(peer.kind, "d=%-4d fit %8.2f s  processor %8.2f s  nDCG@10 %.4f after %d epochs", d, v.Seconds, v.CPU, mean(each), peer.epochs)
	}
	return nil
}
