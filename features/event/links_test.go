package event

import (
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage"
)

// linkFile puts an identity table of CSV, one link a line.
func linkFile(t testing.TB, b storage.Bucket, lines ...string) DataSet {
	t.Helper()
	putText(t, b, "links.csv", "cookie,user\n"+strings.Join(lines, "\n")+"\n")
	return DataSet{Bucket: b, Path: "links.csv", Columns: map[string]string{ColAlias: "cookie", ColMain: "user"}}
}

func putText(t testing.TB, b storage.Bucket, key, text string) {
	t.Helper()
	if _, err := b.Put(context.Background(), key, storage.Bytes([]byte(text)), storage.Cond{}); err != nil {
		t.Fatal(err)
	}
}

func readLinks(t testing.TB, b storage.Bucket, lines ...string) *Links {
	t.Helper()
	l, err := ReadLinks(context.Background(), linkFile(t, b, lines...))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestReadLinks(t *testing.T) {
	b := storage.NewMemory(nil)
	l := readLinks(t, b, "c1,ann", "c2,ann", "c3,bob", "c1,ann", "bob,bob", "CF8F3A8E-9F2A-4B9F-8D7E-3B2B1A0C9D8E,bob")
	if want := (LinksFacts{Rows: 6, Links: 4, Duplicates: 1, Selves: 1}); l.Facts != want {
		t.Errorf("facts %+v, want %+v", l.Facts, want)
	}
	for id, want := range map[string]string{"c1": "ann", "c2": "ann", "ann": "ann", "c3": "bob", "bob": "bob", "dan": "dan", "cf8f3a8e-9f2a-4b9f-8d7e-3b2b1a0c9d8e": "bob"} {
		if got := l.Main(id); got != want {
			t.Errorf("%s is %s, want %s", id, got, want)
		}
	}
	for id, want := range map[string][]string{"c1": {"ann", "c2"}, "ann": {"c1", "c2"}, "dan": nil} {
		if got := l.others(id); !slices.Equal(got, want) {
			t.Errorf("others of %s: %v, want %v", id, got, want)
		}
	}
	for name, tt := range map[string]struct {
		lines []string
		want  string
	}{
		"an alias of two people":  {[]string{"c1,ann", "c1,bob"}, "links.csv row 2: its cookie is linked to another person in links.csv row 1"},
		"a chain, upwards":        {[]string{"c1,c2", "c2,ann"}, "links.csv row 1: its user is itself linked to an id, in links.csv row 2"},
		"a chain, downwards":      {[]string{"c2,ann", "c1,c2"}, "links.csv row 2: its user is itself linked to an id, in links.csv row 1"},
		"a cycle":                 {[]string{"ann,bob", "bob,ann"}, "links.csv row 1: its user is itself linked to an id, in links.csv row 2: link both to the person's main id; links.csv row 2: its user"},
		"a row without a main id": {[]string{"c1,ann", "c2,"}, "links.csv row 2: user holds no id"},
		"a row without an alias":  {[]string{",ann"}, "links.csv row 1: cookie holds no id"},
	} {
		_, err := ReadLinks(context.Background(), linkFile(t, b, tt.lines...))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		} else if strings.Contains(err.Error(), "ann") || strings.Contains(err.Error(), "bob") || strings.Contains(err.Error(), "c1") {
			t.Errorf("%s: the error holds an id: %v", name, err)
		}
	}
	// Every row that cannot be meant is told, and none besides: not for what a bad row above it says.
	_, err := ReadLinks(context.Background(), linkFile(t, b, "c1,ann", ",ann", "c1,bob", "c1,dan", "c4,c1", "c5,bob", "c6,", "c5,bob", "c7,c4", "eve,eve"))
	var bad *BadLinks
	want := []string{
		"links.csv row 2: cookie holds no id: a link has two",
		"links.csv row 3: its cookie is linked to another person in links.csv row 1: an id is one person's",
		"links.csv row 4: its cookie is linked to another person in links.csv row 1: an id is one person's",
		"links.csv row 5: its user is itself linked to an id, in links.csv row 1: link both to the person's main id",
		"links.csv row 7: user holds no id: a link has two",
		"links.csv row 9: its user is itself linked to an id, in links.csv row 5: link both to the person's main id",
	}
	if !errors.As(err, &bad) || bad.Rows != 10 || !slices.Equal(bad.Faults, want) {
		t.Errorf("%v\n%q", err, bad)
	} else if text := err.Error(); !strings.Contains(text, want[2]+"; and 3 more of its 10 rows") {
		t.Errorf("the error of a run is %q", text)
	}
	same, err := l.Current(context.Background(), linkFile(t, b, "c1,ann"))
	if err != nil || same == l || same.Facts.Links != 1 {
		t.Errorf("a file that has changed: %+v, %v", same, err)
	}
	if again, err := same.Current(context.Background(), linkFile(t, b, "c1,ann")); err != nil || again != same && again.Fingerprint == same.Fingerprint {
		t.Errorf("a file that has not changed was read again: %v", err)
	}
}

// Ids are one person's by a declared link alone, and what stood apart before is told, whoever has asked since, also to steps without a key.
func TestLinkedIdentities(t *testing.T) {
	ctx := context.Background()
	b := storage.NewMemory(nil)
	k := testKeys(t, "k1")
	ids := openIdentities(t, b, k)
	ann, c1, bob := number(t, ids, "ann"), number(t, ids, "c1"), number(t, ids, "bob")
	flush(t, ids)
	if ann == c1 {
		t.Fatal("two ids have one number and nobody linked them")
	}
	open := func(l *Links) (*Identities, Relinked) {
		t.Helper()
		ids := openIdentities(t, b, k)
		ids.Link(l)
		r, err := ids.Relink()
		if err != nil {
			t.Fatal(err)
		}
		flush(t, ids)
		return ids, r
	}
	links := readLinks(t, b, "c1,ann", "c2,ann", "c9,nobody")
	ids, r := open(links)
	if r.Added != 2 || r.Moved+r.Removed != 0 || !slices.Equal(r.Subjects, []policy.Subject{c1}) {
		t.Errorf("linked: %+v, want two links and that what stands under %s is another's", r, c1)
	}
	for _, id := range []string{"ann", "c1", "c2"} {
		if s := number(t, ids, id); s != ann {
			t.Errorf("%s has number %s, want the main id's %s", id, s, ann)
		}
	}
	if _, ok := ids.Find("nobody"); ok {
		t.Error("somebody was numbered for nothing but a link")
	}
	for name, table := range map[string]*Identities{"with the key": ids, "without": openIdentities(t, b)} {
		if got := table.Merged(); !maps.Equal(got, map[policy.Subject]policy.Subject{c1: ann}) {
			t.Errorf("merged %s: %v", name, got)
		}
	}
	if _, r := open(links); r.Added+r.Moved+r.Removed != 0 || len(r.Subjects) > 0 {
		t.Errorf("nothing has changed: %+v", r)
	}
	for key, text := range objectTexts(t, b, identityPrefix) {
		for _, id := range []string{"ann", "c1", "c2"} {
			if strings.Contains(text, id) {
				t.Errorf("%s holds a raw id", key)
			}
		}
	}
	// A link moves: rows of ann may be bob's now. It goes: they may be its own again.
	if _, r := open(readLinks(t, b, "c1,bob", "c2,ann")); r.Moved != 1 || !slices.Equal(r.Subjects, []policy.Subject{ann}) {
		t.Errorf("a link that moved: %+v", r)
	}
	ids, r = open(nil)
	if want := []policy.Subject{min(ann, bob), max(ann, bob)}; r.Removed != 2 || !slices.Equal(r.Subjects, want) {
		t.Errorf("links that are gone: %+v, want %v", r, want)
	}
	if s := number(t, ids, "c1"); s != c1 {
		t.Errorf("c1 has number %s, want its own again, %s", s, c1)
	}
	// After a rotation the links are found under the old key, and stand under the new one.
	open(links)
	k2 := testKeys(t, "k2")
	ids = openIdentities(t, b, k2, k)
	ids.Link(links)
	if r, err := ids.Relink(); err != nil || r.Added+r.Moved+r.Removed != 0 || len(r.Subjects) > 0 {
		t.Errorf("a rotation: %+v, %v", r, err)
	}
	flush(t, ids)
	if got := openIdentities(t, b).KeyRows(); got["k2"] != 4 { // two links, ann and c1
		t.Errorf("rows by key %v", got)
	}
	// An erasure by any id reaches every number and marks every id.
	j := openJournal(t, b)
	e, err := j.Erase(ctx, k2, ids, []string{"c2"}, dayAt(1), "e")
	if err != nil {
		t.Fatal(err)
	}
	if want := []policy.Subject{min(ann, c1), max(ann, c1)}; len(e.Marks) != 3 || !slices.Equal(e.Subjects, want) {
		t.Errorf("an erasure by an alias: %d marks, numbers %v, want 3 and %v", len(e.Marks), e.Subjects, want)
	}
	if err := ids.Delete(ctx, e.Subjects...); err != nil {
		t.Fatal(err)
	}
	sup, err := j.Suppressions(ids)
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]bool{"ann": true, "c1": true, "c2": true, "bob": false} {
		if _, gone := sup.ErasedAt(id); gone != want {
			t.Errorf("%s is erased: %v", id, gone)
		}
	}
	for key, text := range objectTexts(t, b, identityPrefix) {
		for _, id := range []string{"ann", "c1", "c2"} {
			for _, k := range []Keys{k, k2} {
				if m := macOf(k.store, id); strings.Contains(text, string(m[:])) {
					t.Errorf("%s holds the pseudonym of an erased id", key)
				}
			}
		}
	}
	// A new alias of an erased person is recognized as theirs.
	ids.Link(readLinks(t, b, "c7,ann"))
	if _, gone := sup.ErasedAt("c7"); !gone {
		t.Error("an alias that was declared after the erasure slips in")
	}
	if got := openIdentities(t, b).Merged(); len(got) != 0 {
		t.Errorf("links of an erased person are left: %v", got)
	}
}

func TestDamagedLinksAreRefused(t *testing.T) {
	var links []link
	for i := range 20 {
		links = append(links, link{[]string{"k1", "k2"}[i%2], mac{byte(i)}, policy.Subject(5<<58 + i), policy.Subject(i % 3)})
	}
	for _, intent := range []uint64{0, 1<<40 + 7} {
		damagedLinks(t, links, intent)
	}
}

func damagedLinks(t *testing.T, links []link, intent uint64) {
	good, err := encodeLinks(links, intent)
	if err != nil {
		t.Fatal(err)
	}
	if got, is, err := decodeLinks(5, good); err != nil || is != intent || !slices.Equal(got, links) {
		t.Fatalf("%v, %d, %v", got, is, err)
	}
	later := slices.Clone(good[:len(good)-32])
	later[4] = linksVersion + 1
	if _, _, err := decodeLinks(5, sealed(later)); err == nil || !strings.Contains(err.Error(), "newer") {
		t.Errorf("links of a newer rapport: %v", err)
	}
	if _, _, err := decodeLinks(6, good); err == nil {
		t.Error("links under another shard's name were accepted")
	}
	for i := range good {
		bad := slices.Clone(good)
		bad[i] ^= 0x40
		if _, _, err := decodeLinks(5, bad); err == nil {
			t.Errorf("a flipped bit in byte %d was accepted", i)
		}
	}
}

func FuzzDecodeLinks(f *testing.F) {
	for _, intent := range []uint64{0, 7} {
		good, err := encodeLinks([]link{{"k1", mac{1}, 7, 0}, {"k1", mac{2}, 7, 9}}, intent)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(good[:len(good)-32])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		links, intent, err := decodeLinks(0, sealed(slices.Clone(body)))
		if err != nil {
			return
		}
		again, err := encodeLinks(links, intent)
		if err != nil {
			t.Fatal(err)
		}
		if same, is, err := decodeLinks(0, again); err != nil || is != intent || !slices.Equal(same, links) {
			t.Fatalf("%v, %v", same, err)
		}
	})
}

// erasing deletes somebody just before a write of links is stored.
type erasing struct {
	storage.Bucket
	erase func()
}

func (e *erasing) Put(ctx context.Context, key string, b storage.Body, c storage.Cond) (storage.Info, error) {
	if erase := e.erase; erase != nil && strings.HasPrefix(key, linksPrefix) {
		e.erase = nil
		erase()
	}
	return e.Bucket.Put(ctx, key, b, c)
}

// TestLinksBesideAnErasure: a link that is stored while its person is erased, or by somebody of whom the erasure knows nothing, does not outlive it; and no link
// keeps the number that an erased id had before.
func TestLinksBesideAnErasure(t *testing.T) {
	k := testKeys(t, "k1")
	for _, c := range []struct {
		when string
		who  func(ann, c1 policy.Subject) policy.Subject
		left int // links
	}{
		{"of the person", func(ann, _ policy.Subject) policy.Subject { return ann }, 0},
		{"of the alias", func(_, c1 policy.Subject) policy.Subject { return c1 }, 1},
	} {
		for when, during := range map[string]bool{"while links are stored": true, "by who knows no links": false} {
			b := &erasing{Bucket: storage.NewMemory(nil)}
			ids := openIdentities(t, b, k)
			ann, c1 := number(t, ids, "ann"), number(t, ids, "c1")
			flush(t, ids)
			gone, other := c.who(ann, c1), openIdentities(t, b, k)
			erase := func() {
				if err := other.Delete(t.Context(), gone); err != nil {
					t.Error(err)
				}
			}
			if during {
				b.erase = erase
			}
			ids.Link(readLinks(t, b, "c1,ann"))
			if _, err := ids.Relink(); err != nil {
				t.Fatal(err)
			}
			flush(t, ids)
			if !during {
				erase()
			}
			for _, table := range []*Identities{ids, openIdentities(t, b, k)} {
				if !during && table == ids {
					continue // as of before the erasure
				}
				if len(table.linked) != c.left || len(table.Merged()) != 0 {
					t.Errorf("an erasure %s, %s: %d links are left, %d ids were others before", c.when, when, len(table.linked), len(table.Merged()))
				}
			}
			var raw [8]byte
			binary.LittleEndian.PutUint64(raw[:], uint64(gone))
			for key, text := range objectTexts(t, b, identityPrefix) {
				if strings.Contains(text, string(raw[:])) {
					t.Errorf("an erasure %s, %s: %s holds the number", c.when, when, key)
				}
			}
		}
	}
}

// dyingLinks is the bucket of a process that stores links: just before its nth write of them somebody is erased, and after that write it is dead.
type dyingLinks struct {
	storage.Bucket
	n, seen int
	erase   func()
}

var errLinksDied = errors.New("the process has died")

func (d *dyingLinks) Put(ctx context.Context, key string, b storage.Body, c storage.Cond) (storage.Info, error) {
	if !strings.HasPrefix(key, linksPrefix) {
		return d.Bucket.Put(ctx, key, b, c)
	}
	switch d.seen++; {
	case d.seen == d.n:
		d.erase()
	case d.seen > d.n:
		return storage.Info{}, errLinksDied
	}
	return d.Bucket.Put(ctx, key, b, c)
}

// TestNoLinkOutlivesAnErasure: whichever write of links an erasure comes upon, and though the process that stores them dies then, nothing of who is erased is left.
func TestNoLinkOutlivesAnErasure(t *testing.T) {
	k := testKeys(t, "k1")
	for n := 1; ; n++ {
		stored := false
		for _, who := range []string{"ann", "c1"} {
			raw := storage.NewMemory(nil)
			b := &dyingLinks{Bucket: raw, n: n}
			ids := openIdentities(t, b, k)
			ann, c1 := number(t, ids, "ann"), number(t, ids, "c1")
			flush(t, ids)
			gone := map[string]policy.Subject{"ann": ann, "c1": c1}[who]
			b.erase = func() {
				if err := openIdentities(t, raw, k).Delete(t.Context(), gone); err != nil {
					t.Error(err)
				}
			}
			ids.Link(readLinks(t, raw, "c1,ann"))
			if _, err := ids.Relink(); err != nil {
				t.Fatal(err)
			}
			if err := ids.Flush(t.Context()); err != nil && !errors.Is(err, errLinksDied) {
				t.Fatal(err)
			}
			if b.seen < n { // they stood before that write: an erasure that comes now sees them
				stored = true
				b.erase()
			}
			var text [8]byte
			binary.LittleEndian.PutUint64(text[:], uint64(gone))
			for key, body := range objectTexts(t, raw, identityPrefix) {
				if strings.Contains(body, string(text[:])) {
					t.Errorf("erased at write %d of links, %s holds the number of %s", n, key, who)
				}
			}
		}
		if stored {
			if n < 3 {
				t.Errorf("links are stored by %d writes: the test shows nothing", n-1)
			}
			return
		}
	}
}
