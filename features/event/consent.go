package event

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/features/expect"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// Consent is what a consent data set says, pseudonymized.
type Consent struct {
	Records     *Records // sorted
	Fingerprint string   // of the files
	Facts       ConsentFacts
	New         int    // of an imported file: people of whom nothing was known, and something is now
	People      int    // whom an imported file names
	Marks       []Mark // theirs under the current key, if they are at most MaxMarks
}

// MaxMarks is how many people of one file are named by mark.
const MaxMarks = 100

// ConsentFacts count the rows of a consent data set: each row is a record or stands in one of the others.
type ConsentFacts struct {
	Rows       int64 `json:"rows"`
	Records    int64 `json:"records"`
	Duplicates int64 `json:"duplicates"`     // rows equal to another
	Erased     int64 `json:"erased"`         // rows recorded before their subject was erased
	BadRows    int64 `json:"bad_rows"`       // rows without a subject
	Unknown    int64 `json:"unknown_states"` // records whose state is not of DPV 2.3: they deny
	Withheld   int64 `json:"withheld"`       // records whose source text held the subject's id: it is left out

	Quality expect.Counts `json:"quality,omitzero"` // where something is expected of it
}

// ReadConsent reads consent records and pseudonymizes them: subjects become numbers, record ids become keyed hashes (they may
// contain anything). Columns: subject, purpose, state, effective_at and, where the files have them, recorded_at (default: effective_at),
// expires_at, source, record_id. States that are not known deny, and are counted. A row whose purpose is no name or whose effective_at
// is missing, or a time that cannot be read, is an error that names file and row: a lost record may be a lost withdrawal. Records that
// were recorded before their subject was erased are left out. New subjects are buffered in ids: Flush it. Memory: that of Records.
func ReadConsent(ctx context.Context, d DataSet, ids *Identities, sup *Suppressions) (*Consent, error) {
	return readConsent(ctx, d, ids, sup, func(_ string, r *policy.Record) error { return r.CheckUnits() }, func(string) {})
}

// ImportConsent is ReadConsent for a file that somebody imports, who is there to be asked: what policy.Record.Check refuses as of now is an error that names
// file and row, and so is a row without a subject.
func ImportConsent(ctx context.Context, d DataSet, ids *Identities, sup *Suppressions, now time.Time) (*Consent, error) {
	people, fresh := map[string]bool{}, 0 // as long as they are few
	c, err := readConsent(ctx, d, ids, sup, func(id string, r *policy.Record) error {
		if len(people) <= MaxMarks {
			people[strings.Clone(id)] = true
		}
		if r.Recorded.After(now) && r.Recorded.Equal(r.Effective) { // announced, without saying when: it is known now
			r.Recorded = now
		}
		*r = r.Arrived(now)
		return r.Check(now)
	}, func(id string) {
		if !ids.Knows(id) {
			fresh++
		}
	})
	if err != nil {
		return nil, err
	}
	if c.Facts.BadRows > 0 {
		return nil, fmt.Errorf("read consent: %d rows name no subject, and a withdrawal may be among them: give each row its subject", c.Facts.BadRows)
	}
	c.New = fresh
	if c.People = len(people); c.People <= MaxMarks {
		for _, id := range slices.Sorted(maps.Keys(people)) {
			c.Marks = append(c.Marks, MarkOf(ids.keys[0], id))
		}
		return c, nil
	}
	c.People = c.Records.People()
	return c, nil
}

// DigestFiles returns a digest of what the files of a data set hold and of how it is read, under each of some keys: who has none of them learns nothing by it, though there be one
// person in the files. With it comes the fingerprint of the files, by which a reader can tell that they are still the same. Cost: the files are read.
func DigestFiles(ctx context.Context, d DataSet, keys ...Keys) (digests []string, fingerprint string, err error) {
	fail := func(err error) ([]string, string, error) { return nil, "", fmt.Errorf("read consent: %w", err) }
	objs, err := d.list(ctx)
	if err != nil {
		return fail(err)
	}
	zone := ""
	if d.Zone != nil {
		zone = d.Zone.String()
	}
	how, err := json.Marshal([]any{d.Columns, zone, d.TimeUnit})
	if err != nil {
		return fail(err)
	}
	sum := sha256.New()
	sum.Write(how)
	for _, o := range objs {
		fmt.Fprintf(sum, "\n%d\n", o.Size)
		body, _, err := d.Bucket.Get(ctx, o.Key, storage.Range{})
		if err != nil {
			return fail(err)
		}
		if _, err := io.Copy(sum, body); err != nil {
			body.Close()
			return fail(err)
		}
		if err := body.Close(); err != nil {
			return fail(err)
		}
	}
	for _, k := range keys {
		m := macOf(k.store, "\x00consent files\x00"+string(sum.Sum(nil)))
		digests = append(digests, hex.EncodeToString(m[:]))
	}
	return digests, Fingerprint(objs), nil
}

// readConsent is ReadConsent with what a record must stand before its state is read in the most careful way. taken is told of whom a record is taken, ahead of their
// number.
func readConsent(ctx context.Context, d DataSet, ids *Identities, sup *Suppressions, check func(id string, r *policy.Record) error, taken func(id string)) (*Consent, error) {
	if len(ids.keys) == 0 {
		return nil, fmt.Errorf("read consent: %w", ErrNoKey)
	}
	objs, err := d.list(ctx)
	if err != nil {
		return nil, fmt.Errorf("read consent: %w", err)
	}
	out := &Consent{Records: &Records{}, Fingerprint: Fingerprint(objs)}
	text := func(name string, optional bool) table.Want {
		return table.Want{Name: d.column(name), Type: table.String, Optional: optional}
	}
	instant := func(name string, optional bool) table.Want {
		return table.Want{Name: d.column(name), Type: table.Time, Optional: optional}
	}
	const subject, purpose, state, effective, recorded, expires, source, recordID = 0, 1, 2, 3, 4, 5, 6, 7
	wants := []table.Want{
		text("subject", false), text("purpose", false), text("state", false), instant("effective_at", false),
		instant("recorded_at", true), instant("expires_at", true), text("source", true), text("record_id", true),
	}
	var beside []policy.Record // of further numbers of people
	var rec policy.Record      // of a row
	times := []struct {
		to       *time.Time
		col      int
		required bool
	}{{&rec.Effective, effective, true}, {&rec.Recorded, recorded, false}, {&rec.Expires, expires, false}}
	for r, err := range d.scan(ctx, objs, wants, &out.Facts.Quality) {
		if err != nil {
			return nil, fmt.Errorf("read consent: %w", err)
		}
		out.Facts.Rows++
		id, ok := idAt(&r.b.Cols[subject], r.i)
		if !ok {
			out.Facts.BadRows++
			continue
		}
		rec = policy.Record{Purpose: r.text(purpose), State: policy.State(r.text(state)), Source: r.text(source)}
		if !policy.ValidName(rec.Purpose) {
			return nil, fmt.Errorf("read consent: %s: %s is no purpose name", r.at(), d.column("purpose"))
		}
		for _, f := range times {
			t, ok, err := d.timeAt(r, f.col)
			if err == nil && !ok && f.required {
				err = fmt.Errorf("%s: %s is missing", r.at(), wants[f.col].Name)
			}
			if err != nil {
				return nil, fmt.Errorf("read consent: %w", err)
			}
			*f.to = t
		}
		if rec.Recorded.IsZero() {
			rec.Recorded = rec.Effective
		}
		if err := check(id, &rec); err != nil {
			return nil, fmt.Errorf("read consent: %s: %w", r.at(), err)
		}
		if at, ok := sup.ErasedAt(id); ok && rec.Recorded.UnixMicro() <= at {
			out.Facts.Erased++
			continue
		}
		if !rec.State.Known() {
			rec.State = policy.Unknown
			out.Facts.Unknown++
		}
		taken(id)
		if minimalRecord(&rec, ids, id, r.text(recordID)) {
			out.Facts.Withheld++
		}
		if rec.Subject, err = ids.Number(id); err != nil {
			return nil, fmt.Errorf("read consent: %w", err)
		}
		if err := out.Records.Add(rec); err != nil {
			return nil, fmt.Errorf("read consent: %s: %w", r.at(), err)
		}
		beside = append(beside, recordsBeside(ids, id, rec)...)
	}
	out.Facts.Duplicates = int64(out.Records.Sort())
	out.Facts.Records = int64(out.Records.Len())
	for _, rec := range beside {
		if err := out.Records.Add(rec); err != nil {
			return nil, fmt.Errorf("read consent: %w", err)
		}
	}
	out.Records.Sort()
	out.Facts.Quality.Kept = out.Facts.Records
	if out.Facts.Quality = out.Facts.Quality.Result(); d.Expect.Empty() {
		out.Facts.Quality = expect.Counts{}
	}
	return out, nil
}

// recordsBeside are a record of somebody with a canonical id for their further numbers.
func recordsBeside(ids *Identities, canonical string, r policy.Record) (out []policy.Record) {
	for _, s := range ids.Beside(canonical, r.Subject) {
		r.Subject = s
		out = append(out, r)
	}
	return out
}

// minimalRecord brings what stands beside a record to the form that is kept: a record id may contain anything, and becomes a keyed hash; a source that holds an
// id of the subject, be it a linked one, is withheld, which is reported.
func minimalRecord(r *policy.Record, ids *Identities, id, recordID string) (withheld bool) {
	source := strings.ToLower(r.Source)
	names := func(id string) bool { return strings.Contains(source, strings.ToLower(id)) }
	if len(r.Source) > 64 || names(id) || slices.ContainsFunc(ids.links.others(id), names) {
		r.Source, withheld = "withheld", true
	}
	if recordID != "" {
		m := macOf(ids.keys[0].store, "\x00consent record\x00"+recordID)
		r.ID = hex.EncodeToString(m[:8])
	}
	return withheld
}

// Said is one record of consent of a person, as it is sent by itself. Times that are zero are not given: a record is recorded when it is sent, and takes
// effect then.
type Said struct {
	ID       string        // canonical
	Record   policy.Record // without a subject and an id
	RecordID string        // the sender's own; one that comes again changes nothing
}

// ConsentOf makes a record of what somebody has sent at a time, as ImportConsent does of a row, and the same beside it for each further number of theirs
// (Identities.Beside). ids must have keys: Flush it. It reports whether its source was withheld, for it held the person's id.
func ConsentOf(ids *Identities, now time.Time, s Said) (r policy.Record, beside []policy.Record, withheld bool, err error) {
	if r = s.Record; r.Recorded.IsZero() {
		r.Recorded = now
	}
	r = r.Arrived(now)
	if r.Effective.IsZero() {
		r.Effective = r.Recorded
	}
	for _, t := range []*time.Time{&r.Effective, &r.Recorded, &r.Expires} {
		*t = t.Truncate(time.Microsecond).UTC()
	}
	if err := r.Check(now); err != nil {
		return r, nil, false, err
	}
	withheld = minimalRecord(&r, ids, s.ID, s.RecordID)
	if r.Subject, err = ids.Number(s.ID); err != nil {
		return r, nil, withheld, err
	}
	return r, recordsBeside(ids, s.ID, r), withheld, nil
}

// consentSchema is the table of pseudonymized consent records.
var consentSchema = table.Schema{
	{Name: "subject", Type: table.Int64},
	{Name: "purpose", Type: table.String},
	{Name: "state", Type: table.String},
	{Name: "effective_at", Type: table.Time},
	{Name: "recorded_at", Type: table.Time},
	{Name: "expires_at", Type: table.Time},
	{Name: "source", Type: table.String},
	{Name: "record_id", Type: table.String},
}

// consentOrder are the columns that a snapshot is sorted by first.
var consentOrder = []string{"subject", "purpose", "effective_at"}

// addConsent appends a record to the columns of consentSchema.
func addConsent(cols []table.Column, r policy.Record) {
	cols[0].Int, cols[1].Str = append(cols[0].Int, int64(r.Subject)), append(cols[1].Str, r.Purpose)
	cols[2].Str = append(cols[2].Str, string(r.State))
	cols[3].Int, cols[4].Int = append(cols[3].Int, table.Micros(r.Effective)), append(cols[4].Int, table.Micros(r.Recorded))
	expires := int64(0)
	if !r.Expires.IsZero() {
		expires = table.Micros(r.Expires)
	}
	cols[5].Int, cols[5].Valid = append(cols[5].Int, expires), append(cols[5].Valid, !r.Expires.IsZero())
	cols[6].Str, cols[7].Str = append(cols[6].Str, r.Source), append(cols[7].Str, r.ID)
}

// StoreConsent writes records as a content-addressed snapshot under prefix: equal sets of records give the same digest and objects. Records.Store is for many.
func StoreConsent(ctx context.Context, b storage.Bucket, prefix string, records []policy.Record) (table.Manifest, error) {
	return storeSnapshot(ctx, b, prefix, "consent", consentSchema, consentOrder, records, addConsent)
}

// LoadConsent reads a snapshot that StoreConsent wrote, in policy order. EachRecord is for many.
func LoadConsent(ctx context.Context, b storage.Bucket, m table.Manifest) ([]policy.Record, error) {
	out := make([]policy.Record, 0, m.Rows)
	for r, err := range EachRecord(ctx, b, m) {
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	slices.SortFunc(out, policy.Record.Compare)
	return out, nil
}

// EachRecord yields the records of a snapshot, subject by subject, ascending: it holds a few row groups. The sequence ends after the first error.
func EachRecord(ctx context.Context, b storage.Bucket, m table.Manifest) iter.Seq2[policy.Record, error] {
	return eachRecord(ctx, b, m, table.ReadOptions{Dictionaries: true}, nil)
}

// eachRecord yields the records of the purposes that wanted names (nil: of all). The columns that are read are those of the schema, in its order but for the source, which may be missing.
func eachRecord(ctx context.Context, b storage.Bucket, m table.Manifest, o table.ReadOptions, wanted func(purpose string) bool) iter.Seq2[policy.Record, error] {
	return func(yield func(policy.Record, error) bool) {
		if !slices.Equal(m.Schema, consentSchema) {
			yield(policy.Record{}, errNoConsentSnapshot)
			return
		}
		for rows, err := range table.Read(ctx, b, m, o) {
			if err != nil {
				yield(policy.Record{}, fmt.Errorf("load consent: %w", err))
				return
			}
			c := rows.Cols
			source, id := rows.Col("source"), rows.Col("record_id")
			of := whichOf(&c[1], wanted)
			for i, n := range c[0].Int {
				if !of(i) {
					continue
				}
				r := policy.Record{
					Subject: policy.Subject(n), Purpose: c[1].Text(i), State: policy.State(c[2].Text(i)), ID: id.Text(i),
					Effective: time.UnixMicro(c[3].Int[i]).UTC(), Recorded: time.UnixMicro(c[4].Int[i]).UTC(),
				}
				if source != nil {
					r.Source = source.Text(i)
				}
				if !c[5].Null(i) {
					r.Expires = time.UnixMicro(c[5].Int[i]).UTC()
				}
				if !yield(r, nil) {
					return
				}
			}
		}
	}
}

// whichOf tells which rows of a column of texts are wanted (nil: all). Of a dictionary each text is asked for once.
func whichOf(c *table.Column, wanted func(string) bool) func(row int) bool {
	switch {
	case wanted == nil:
		return func(int) bool { return true }
	case c.Code == nil:
		return func(i int) bool { return wanted(c.Text(i)) }
	}
	known := make([]bool, len(c.Dict))
	for i, text := range c.Dict {
		known[i] = wanted(text)
	}
	return func(i int) bool { return !c.Null(i) && known[c.Code[i]] }
}
