package event

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/rapport-ml/rapport/features/expect"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// PreferenceFacts count the rows of a data set of preferences: each row is a record or stands in one of the others.
type PreferenceFacts struct {
	Rows     int64 `json:"rows"`
	Records  int64 `json:"records"`
	Erased   int64 `json:"erased"`   // rows of before their subject was erased
	BadRows  int64 `json:"bad_rows"` // rows without a subject
	Withheld int64 `json:"withheld"` // rows whose value held the subject's id: they are left out
}

// maxPreference bounds the value of a preference, in bytes.
const maxPreference = 512

// ReadPreferences reads what people want of their lists and pseudonymizes it. Columns: subject, preference, value, time. A row whose preference
// or value is not known, or that has no time, is an error that names file and row: a lost row may be a lost objection. New subjects are buffered in
// ids: Flush it.
func ReadPreferences(ctx context.Context, d DataSet, ids *Identities, sup *Suppressions) ([]policy.Wish, PreferenceFacts, error) {
	var facts PreferenceFacts
	fail := func(err error) ([]policy.Wish, PreferenceFacts, error) {
		return nil, facts, fmt.Errorf("read preferences: %w", err)
	}
	if len(ids.keys) == 0 {
		return fail(ErrNoKey)
	}
	objs, err := d.list(ctx)
	if err != nil {
		return fail(err)
	}
	const subject, preference, value, at = 0, 1, 2, 3
	wants := []table.Want{
		{Name: d.column("subject"), Type: table.String},
		{Name: d.column("preference"), Type: table.String},
		{Name: d.column("value"), Type: table.String, Optional: true},
		{Name: d.column("time"), Type: table.Time},
	}
	var out, beside []policy.Wish // beside: of further numbers of people
	var counts expect.Counts
	for r, err := range d.scan(ctx, objs, wants, &counts) {
		if err != nil {
			return fail(err)
		}
		facts.Rows++
		id, ok := idAt(&r.b.Cols[subject], r.i)
		if !ok {
			facts.BadRows++
			continue
		}
		w := policy.Wish{Name: policy.WishName(strings.ToLower(r.text(preference))), Value: r.text(value)}
		mine, err := minimalWish(&w, ids, id)
		if err != nil {
			return fail(fmt.Errorf("%s: %w", r.at(), err))
		}
		if w.At, ok, err = d.timeAt(r, at); err == nil && !ok {
			err = fmt.Errorf("%s: %s is missing", r.at(), wants[at].Name)
		}
		if err != nil {
			return fail(err)
		}
		if erased, ok := sup.ErasedAt(id); ok && w.At.UnixMicro() <= erased {
			facts.Erased++
			continue
		}
		if !mine {
			facts.Withheld++
			continue
		}
		if w.Subject, err = ids.Number(id); err != nil {
			return fail(err)
		}
		out = append(out, w)
		beside = append(beside, wishesBeside(ids, id, w)...)
	}
	out = joinedWishes(out)
	facts.Records = int64(len(out))
	if len(beside) > 0 {
		out = joinedWishes(append(out, beside...))
	}
	return out, facts, nil
}

// joinedWishes brings wishes in their order, each once.
func joinedWishes(wishes []policy.Wish) []policy.Wish {
	slices.SortFunc(wishes, policy.Wish.Compare)
	return slices.CompactFunc(wishes, func(a, b policy.Wish) bool { return a.Compare(b) == 0 })
}

// wishesBeside are a wish of somebody with a canonical id for their further numbers.
func wishesBeside(ids *Identities, canonical string, w policy.Wish) (out []policy.Wish) {
	for _, s := range ids.Beside(canonical, w.Subject) {
		w.Subject = s
		out = append(out, w)
	}
	return out
}

// minimalWish brings what somebody asked for to the form that is kept. It is false if the value holds an id of the person's own, be it a linked one, which may
// stand in no object.
func minimalWish(w *policy.Wish, ids *Identities, id string) (bool, error) {
	if w.Name == policy.WishPrefer {
		w.Value = strings.ToLower(w.Value)
	}
	if err := w.Check(); err != nil {
		return false, err
	}
	if len(w.Value) > maxPreference {
		return false, fmt.Errorf("a value of %d bytes, at most %d are taken", len(w.Value), maxPreference)
	}
	switch w.Name {
	case policy.WishLevel, policy.WishPause:
		w.Value = strings.ToLower(w.Value)
		if !slices.Contains([]string{"off", "broad", "full", "on"}, w.Value) {
			w.Value = "" // read as the most careful one; what was written may be anything
		}
	case policy.WishReset:
		w.Value = ""
	case policy.WishPrefer: // one of two words
	default:
		return !slices.ContainsFunc(append(ids.links.others(id), id), func(id string) bool { return holdsID(w.Value, id) }), nil
	}
	return true, nil
}

// shortID is the length under which an id is found in a text only where it stands alone: the subject 7 has nothing to do with sku-1077.
const shortID = 6

// holdsID reports whether an id stands in a text, in whatever case.
func holdsID(text, id string) bool {
	text, id = strings.ToLower(text), strings.ToLower(id)
	if len(id) >= shortID {
		return strings.Contains(text, id)
	}
	for from := 0; ; {
		at := strings.Index(text[from:], id)
		if at < 0 {
			return false
		}
		at += from
		before, _ := utf8.DecodeLastRuneInString(text[:at])
		after, _ := utf8.DecodeRuneInString(text[at+len(id):])
		if !wordRune(before) && !wordRune(after) {
			return true
		}
		from = at + 1
	}
}

// wordRune reports whether r goes on with a word; where the text ends there is none.
func wordRune(r rune) bool {
	return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r))
}

// PreferencesOf makes records of what one person has asked for at a time, as ReadPreferences does of a file's rows. ids must have keys: Flush it. It
// reports how many were left out because their value holds the person's own id. Beside are the same for each further number of theirs (Identities.Beside).
func PreferencesOf(ids *Identities, canonical string, asked []policy.Wish) (records, beside []policy.Wish, withheld int, err error) {
	for _, w := range asked {
		mine, err := minimalWish(&w, ids, canonical)
		if err != nil {
			return nil, nil, 0, err
		}
		if !mine {
			withheld++
			continue
		}
		if w.Subject, err = ids.Number(canonical); err != nil {
			return nil, nil, 0, err
		}
		records = append(records, w)
		beside = append(beside, wishesBeside(ids, canonical, w)...)
	}
	return records, beside, withheld, nil
}

// preferenceSchema is the table of pseudonymized preferences.
var preferenceSchema = table.Schema{
	{Name: "subject", Type: table.Int64}, {Name: "preference", Type: table.String}, {Name: "value", Type: table.String}, {Name: "time", Type: table.Time},
}

// StorePreferences writes records as a content-addressed snapshot under prefix: equal sets give the same digest and objects.
func StorePreferences(ctx context.Context, b storage.Bucket, prefix string, records []policy.Wish) (table.Manifest, error) {
	return storeSnapshot(ctx, b, prefix, "preferences", preferenceSchema, []string{"subject", "time", "preference", "value"}, records, func(cols []table.Column, r policy.Wish) {
		cols[0].Int, cols[1].Str = append(cols[0].Int, int64(r.Subject)), append(cols[1].Str, string(r.Name))
		cols[2].Str, cols[3].Int = append(cols[2].Str, r.Value), append(cols[3].Int, table.Micros(r.At))
	})
}

// LoadPreferences reads a snapshot that StorePreferences wrote, in the order of policy.Wish.Compare.
func LoadPreferences(ctx context.Context, b storage.Bucket, m table.Manifest) ([]policy.Wish, error) {
	if !slices.Equal(m.Schema, preferenceSchema) {
		return nil, fmt.Errorf("load preferences: the table is no snapshot of preferences of this version")
	}
	return loadSnapshot(ctx, b, m, "preferences", policy.Wish.Compare, func(c []table.Column, i int) policy.Wish {
		return policy.Wish{Subject: policy.Subject(c[0].Int[i]), Name: policy.WishName(c[1].Str[i]), Value: c[2].Str[i], At: time.UnixMicro(c[3].Int[i]).UTC()}
	})
}
