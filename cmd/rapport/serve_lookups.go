package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/rapport-ml/rapport/cmd/internal/web"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/online"
	"github.com/rapport-ml/rapport/storage/table"
)

// lookups answers serving systems from the online store, and of what rests on nobody's row from the live model.
type lookups struct {
	*app
	*project
	job       *jobs.Job
	visitors  *jobs.Visitors
	preferrer *jobs.Preferrer
	consenter *jobs.Consenter
	watch     *readsWatch
}

func (s *server) lookups(js []*jobs.Job) *lookups {
	return &lookups{s.app, s.project, js[0], s.runner.Visitors(js[0]), s.runner.Preferrer(js), s.runner.Consenter(js), s.reads}
}

// onlineKeys are those of people.
func (l *lookups) onlineKeys(canonical ...string) []string {
	out := make([]string, len(canonical))
	for i, id := range canonical {
		out[i] = event.OnlineKey(l.Keys.ServingKey(), id)
	}
	return out
}

// length is how many items are asked for.
func (l *lookups) length(ctx context.Context, k int) int {
	if k == 0 {
		return l.listLength(ctx)
	}
	return k
}

// Recommend implements web.Lookups.
func (l *lookups) Recommend(ctx context.Context, ask web.RecommendRequest) (any, error) {
	k, now := l.length(ctx, ask.K), table.Micros(l.runner.Now())
	if len(ask.Cart) > 0 {
		cart := distinct(ask.Cart)
		if len(cart) == 0 {
			return nil, &web.Fault{Code: http.StatusBadRequest, Says: "cart: holds no item"}
		}
		fallback, err := l.Online.Fallback(ctx)
		if err != nil {
			return nil, err
		}
		if fallback == nil {
			list, err := l.visitors.Cart(ctx, cart, k, ask.Explain)
			if err == nil {
				return ofCart(list), nil
			}
			if !errors.Is(err, jobs.ErrUnknownItem) {
				return nil, lookupFault(err)
			}
		}
	}
	var found online.List
	var ptr online.Pointer
	var err error
	key := ""
	switch {
	case len(ask.By) > 0:
		for column, level := range ask.By {
			found, ptr, err = online.LookupUnprofiledBy(ctx, l.Online, column, level, k, now)
		}
		if errors.Is(err, online.ErrNotFound) { // what is asked of few is not told, and everybody's list serves as well
			found, ptr, err = online.Recommend(ctx, l.Online, "", k, now)
		}
	case ask.ID.Raw() != "":
		id, bad := event.Canonical(ask.ID.Raw())
		if bad != nil {
			return nil, &web.Fault{Code: http.StatusBadRequest, Says: bad.Error()}
		}
		if key, err = l.names.Of(ctx, id); err != nil {
			return nil, err
		}
		l.watch.note(ctx, web.PathRecommend, l.Keys, []string{key}, []string{id})
		var r *request
		if len(ask.Context) > 0 || !ask.At.IsZero() {
			r = &request{levels: ask.Context, at: ask.At}
		}
		if found, ptr, err = l.listFor(ctx, l.project, key, k, r); errors.Is(err, errNoRanker) {
			found, ptr, err = l.listFor(ctx, l.project, key, k, nil) // whether one is live differs from night to night: callers may always tell the context
		}
	default:
		found, ptr, err = online.Recommend(ctx, l.Online, "", k, now)
	}
	if err != nil {
		return nil, lookupFault(err)
	}
	return answered(key, found, ptr, ask.Explain), nil
}

// Similar implements web.Lookups.
func (l *lookups) Similar(ctx context.Context, ask web.SimilarRequest) (any, error) {
	kind := ask.Kind
	if kind == "" {
		kind = models.RelatedSimilar
	}
	if kind != models.RelatedSimilar && kind != models.RelatedTogether {
		return nil, &web.Fault{Code: http.StatusBadRequest, Says: fmt.Sprintf("kind: want %s or %s", models.RelatedSimilar, models.RelatedTogether)}
	}
	list, err := l.visitors.Related(ctx, ask.Item, kind, l.length(ctx, ask.K))
	return list, lookupFault(err)
}

// Preferences implements web.Lookups.
func (l *lookups) Preferences(ctx context.Context, ask web.PreferencesRequest) (any, error) {
	id, err := event.Canonical(ask.ID.Raw())
	if err != nil {
		return nil, &web.Fault{Code: http.StatusBadRequest, Says: err.Error()}
	}
	key := l.onlineKeys(id)
	if ask.Preference == "" {
		l.watch.note(ctx, web.PathPreferences, l.Keys, key, []string{id})
		found, err := l.runner.Standings(ctx, l.job, []string{id})
		if err != nil {
			return nil, err
		}
		return subjectStanding{event.OnlineKey(l.Keys.ServingKey(), id), found[0]}, nil
	}
	w := policy.Wish{Name: policy.WishName(strings.ToLower(ask.Preference)), Value: ask.Value}
	if err := checkWish(w); err != nil {
		return nil, &web.Fault{Code: http.StatusBadRequest, Says: err.Error()}
	}
	if err := l.watch.ahead(ctx, web.PathPreferences, l.Keys, key, []string{id}); err != nil {
		return nil, err
	}
	out, err := l.preferrer.Prefer(ctx, []string{id}, []policy.Wish{w})
	if errors.Is(err, jobs.ErrNoPreferences) {
		return nil, &web.Fault{Code: http.StatusConflict, Says: err.Error()}
	}
	if err != nil {
		return nil, err
	}
	if out.Records == 0 {
		return nil, &web.Fault{Code: http.StatusUnprocessableEntity, Says: "the value holds the person's own id, which may stand in no object: it is not recorded"}
	}
	return out, nil
}

// Consent implements web.Lookups.
func (l *lookups) Consent(ctx context.Context, ask web.ConsentRequest) (any, error) {
	bad := func(i int, err error) error {
		return &web.Fault{Code: http.StatusBadRequest, Says: (&jobs.BadRecord{Index: i, Err: err}).Error()}
	}
	var sent []event.Said
	for i, x := range ask.Records {
		id, err := event.Canonical(x.ID.Raw())
		if err != nil {
			return nil, bad(i, err)
		}
		if _, ok := l.Purposes[x.Purpose]; !ok { // what is meant as a withdrawal would do nothing
			return nil, bad(i, fmt.Errorf("purpose is none of this project: want one of %s", strings.Join(slices.Sorted(maps.Keys(l.Purposes)), ", ")))
		}
		sent = append(sent, event.Said{ID: id, RecordID: x.RecordID, Record: policy.Record{
			Purpose: x.Purpose, State: policy.State(x.State), Effective: x.Effective, Recorded: x.Recorded, Expires: x.Expires, Source: x.Source,
		}})
	}
	ids := make([]string, len(sent))
	for i, x := range sent {
		ids[i] = x.ID
	}
	if err := l.watch.ahead(ctx, web.PathConsent, l.Keys, l.onlineKeys(ids...), ids); err != nil {
		return nil, err
	}
	out, err := l.consenter.Record(ctx, sent)
	var refused *jobs.BadRecord
	switch {
	case errors.As(err, &refused):
		return nil, bad(refused.Index, refused.Err)
	case errors.Is(err, jobs.ErrNoConsent):
		return nil, &web.Fault{Code: http.StatusConflict, Says: err.Error()}
	case err != nil:
		return nil, err
	}
	return out, nil
}

// ConsentFile implements web.Lookups. What would be held is not taken but for people's own withdrawals: whoever accepts the rest is asked by hand.
func (l *lookups) ConsentFile(ctx context.Context, ask web.ConsentFile) (any, error) {
	files, name := storage.NewMemory(l.wall), "consent."+ask.Kind
	if _, err := files.Put(ctx, name, storage.Bytes(ask.Body), storage.Cond{}); err != nil {
		return nil, err
	}
	d := event.DataSet{Bucket: files, Path: name}
	if src := l.job.Consent; src != nil {
		d.Columns, d.Zone = src.Columns, src.Zone
	}
	tell := func(online iter.Seq[string]) { l.watch.count(ctx, online) }
	out, err := l.consenter.As("token "+web.Caller(ctx).Name, "POST "+web.PathConsent).Telling(tell).Import(ctx, d, nil)
	var bad *jobs.BadFile
	switch {
	case errors.As(err, &bad):
		return nil, &web.Fault{Code: http.StatusBadRequest, Says: err.Error()}
	case errors.Is(err, jobs.ErrNoConsent):
		return nil, &web.Fault{Code: http.StatusConflict, Says: err.Error()}
	case err != nil:
		return nil, err
	case out.Held:
		return nil, &web.Fault{Code: http.StatusConflict, Says: fmt.Sprintf("held: %d of %d people would be denied without having withdrawn. %s of people who withdrew themselves, and nothing else, came in; rapport consent import --accept takes the rest",
			out.Hold.Lost, out.Hold.Before, count(out.Records, "record"))}
	}
	return out, nil
}

// Decide implements web.Lookups: what rapport models approve and reject do, by the name of a token, in the role approver. What is live stays live: rapport models promote
// moves it.
func (l *lookups) Decide(ctx context.Context, ask web.DecideRequest) (any, error) {
	j, err := l.jobOf(ask.Model)
	if err != nil {
		return nil, lookupFault(err)
	}
	if _, err := l.version(ctx, ask.Model, strconv.Itoa(ask.Version)); err != nil {
		return nil, lookupFault(err)
	}
	return l.change(ctx, ask.Verb, j, ask.Version, string(web.Approver), "token "+web.Caller(ctx).Name, ask.Why)
}

// lookupFault makes what is not there, or was asked wrongly, a fault of the caller.
func lookupFault(err error) error {
	if err == nil {
		return nil
	}
	var asked usageError
	var missing notFoundError
	switch {
	case errors.As(err, &asked):
		return &web.Fault{Code: http.StatusBadRequest, Says: err.Error()}
	case errors.As(anonymousFault(err), &missing) || errors.As(err, &missing) || errors.Is(err, online.ErrNotFound):
		return &web.Fault{Code: http.StatusNotFound, Says: err.Error()}
	}
	return err // also where nothing is published yet: the server is not ready
}

// distinct keeps the first of equal items.
func distinct(items []string) (out []string) {
	for _, id := range items {
		if id = strings.TrimSpace(id); id != "" && !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

// answered is a list as readers get it.
func answered(key string, l online.List, ptr online.Pointer, explain bool) recommended {
	if !explain {
		for i := range l.Items {
			l.Items[i].Reasons = nil
		}
	}
	if l.Items == nil {
		l.Items = []online.ListItem{}
	}
	return recommended{key, ptr.Generation, l.Version, l.ID, l.Variant, l.Personalized, l.Items}
}
