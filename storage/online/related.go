package online

import (
	"context"
	"errors"
)

// RelatedKey is the key of the list that stands beside an item; kind is similar or together.
func RelatedKey(kind, item string) string { return "related/" + escape(kind) + "/" + escape(item) }

// UnprofiledByKey is the key of the list not based on profiling of one value of an item attribute or a context column.
func UnprofiledByKey(column, level string) string {
	return UnprofiledKey + "/" + escape(column) + "/" + escape(level)
}

// RelatedEntry is the entry of the list that stands beside an item. Nobody owns it.
func RelatedEntry(kind, item string, l List) (Entry, error) {
	l.Personalized = false
	return entry(RelatedKey(kind, item), "", 0, l)
}

// UnprofiledByEntry is the entry of a list not based on profiling of one value of a column.
func UnprofiledByEntry(column, level string, l List) (Entry, error) {
	l.Personalized = false
	return entry(UnprofiledByKey(column, level), "", 0, l)
}

// LookupRelated returns the best k items that stand beside an item. ErrNotFound where there is no such list. now is µs since the epoch. One Get.
func LookupRelated(ctx context.Context, s Store, kind, item string, k int, now int64) (List, Pointer, error) {
	return lookupList(ctx, s, RelatedKey(kind, item), k, now)
}

// LookupUnprofiledBy returns the best k items of the list not based on profiling of one value of a column. ErrNotFound where there is no such
// list: the one under UnprofiledKey is everybody's. One Get.
func LookupUnprofiledBy(ctx context.Context, s Store, column, level string, k int, now int64) (List, Pointer, error) {
	return lookupList(ctx, s, UnprofiledByKey(column, level), k, now)
}

func lookupList(ctx context.Context, s Store, key string, k int, now int64) (List, Pointer, error) {
	e, p, err := s.Get(ctx, key, now)
	if err != nil {
		return List{}, p, err
	}
	l, err := DecodeList(e)
	l.Items = l.Items[:min(max(k, 0), len(l.Items))]
	return l, p, err
}

// TitleKey is the key of an item's title.
func TitleKey(item string) string { return "item-title/" + escape(item) }

// TitleEntry is the entry of an item's title.
func TitleEntry(item, title string) (Entry, error) { return entry(TitleKey(item), "", 0, title) }

// LookupTitle returns what people call an item, or "" where the live generation does not say. One Get.
func LookupTitle(ctx context.Context, s Store, item string, now int64) (string, error) {
	e, _, err := s.Get(ctx, TitleKey(item), now)
	if errors.Is(err, ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return decode[string](e)
}
