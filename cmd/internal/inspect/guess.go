package inspect

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/rapport-ml/rapport/storage/table"
)

// words splits the last part of a column's name, and the struct that it stands in if that part alone says nothing, into lower-case words.
func words(name string) []string {
	parts := strings.FieldsFunc(strings.ReplaceAll(name, "[]", ""), func(r rune) bool { return r == '.' })
	last := split(parts[len(parts)-1])
	if len(parts) > 1 && len(last) == 1 && slices.Contains([]string{"id", "key", "code", "name", "type", "uid", "number", "no", "value", "amount"}, last[0]) {
		last = append(split(strings.TrimSuffix(parts[len(parts)-2], "s")), last...)
	}
	return last
}

func split(s string) []string {
	var out []string
	var b strings.Builder
	flush := func() {
		if b.Len() > 0 {
			out = append(out, strings.ToLower(b.String()))
			b.Reset()
		}
	}
	lower := false
	for _, r := range s {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			flush()
			lower = false
			continue
		}
		if unicode.IsUpper(r) && lower {
			flush()
		}
		lower = unicode.IsLower(r)
		b.WriteRune(r)
	}
	flush()
	if len(out) == 1 { // userid → user id
		for _, tail := range []string{"id", "time"} {
			if head, ok := strings.CutSuffix(out[0], tail); ok && len(head) > 2 && !slices.Contains([]string{"date"}, out[0]) {
				return []string{head, tail}
			}
		}
	}
	return out
}

func has(w []string, any ...string) bool {
	return slices.ContainsFunc(w, func(x string) bool { return slices.Contains(any, x) })
}

// candidate is a column that may have a role, and how likely.
type candidate struct {
	p     *profile
	score int
	why   string
}

// roles are scored for each column; the best of each is taken.
func (e *Export) guess(all *profiles, h Hints) error {
	best := map[string]candidate{}
	offer := func(role string, p *profile, score int, why string) {
		if score > 0 && (best[role].p == nil || score > best[role].score) {
			best[role] = candidate{p, score, why}
		}
	}
	var context []candidate
	for _, name := range all.order {
		p := all.byName[name]
		if p.problem != "" || p.n == 0 {
			continue
		}
		w := words(name)
		score, why := timeScore(p, w)
		offer("time", p, score, why)
		if score > 0 {
			continue
		}
		score, why = subjectScore(p, w)
		offer("subject", p, score, why)
		score, why = itemScore(p, w)
		offer("item", p, score, why)
		score, why = kindScore(p, w)
		offer("kind", p, score, why)
		score, why = valueScore(p, w)
		offer("value", p, score, why)
		if role := contextRole(p, w); role != "" {
			context = append(context, candidate{p, 1, role})
		}
	}
	hinted := map[string]string{"subject": h.Subject, "item": h.Item, "time": h.At, "kind": h.Kind, "value": h.Value}
	for _, role := range []string{"subject", "item", "time", "kind", "value"} {
		if name := hinted[role]; name != "" {
			p := all.byName[name]
			if p == nil {
				return fmt.Errorf("%s: the files have no column %q; they have %s", role, name, strings.Join(all.order, ", "))
			}
			best[role] = candidate{p, 1, "given"}
		}
	}
	m := &e.Events
	roles := map[string]candidate{}
	take := func(role string, to *string) {
		if c, ok := best[role]; ok {
			*to, roles[c.p.Name] = c.p.Name, candidate{c.p, c.score, c.why}
		}
	}
	take("subject", &m.Subject)
	take("item", &m.Item)
	take("time", &m.At)
	take("kind", &m.Kind)
	m.Explode = h.Explode
	if item := best["item"].p; item != nil && m.Explode == "" {
		m.Explode = item.List
	}
	if v := best["value"].p; v != nil && (v.List == "" || v.List == m.Explode) && v.Name != m.Item && v.Name != m.Subject {
		take("value", &m.Value)
	}
	named := map[string]string{}
	for role, name := range map[string]string{"subject": m.Subject, "item": m.Item, "time": m.At, "kind": m.Kind, "value": m.Value} {
		if name != "" {
			named[name] = role
		}
	}
	m.Columns = map[string]string{}
	for _, c := range context {
		if named[c.p.Name] == "" && m.Columns[c.why] == "" && (c.p.List == "" || c.p.List == m.Explode) && suspect(c.p, words(c.p.Name), "") == "" {
			m.Columns[c.why] = c.p.Name
		}
	}
	e.times(best["time"].p, h)
	e.kinds(best["kind"].p)
	for _, name := range all.order {
		e.Columns = append(e.Columns, describe(all.byName[name], named[name], roles[name].why, m))
	}
	for role, name := range m.Columns {
		for i := range e.Columns {
			if c := &e.Columns[i]; c.Name == name && c.Role == "" {
				c.Role, c.Why = role, "its name, and few distinct values"
			}
		}
	}
	return nil
}

// timeKind says how a column's values may be times: as the files declare, as text, or as a number since 1970.
func timeKind(p *profile) string {
	switch {
	case p.values() == 0:
		return ""
	case p.FileColumn.Type == table.Time:
		return "declared"
	case p.FileColumn.Type == table.String && len(p.formats) > 0:
		return "text"
	case p.FileColumn.Type == table.String && p.digits == p.values() && len(p.units) == 1:
		return "digits"
	case p.FileColumn.Type == table.Int64 && len(p.units) == 1:
		return "integer"
	}
	return ""
}

func timeScore(p *profile, w []string) (int, string) {
	kind := timeKind(p)
	if kind == "" {
		return 0, ""
	}
	score := 1
	switch {
	case has(w, "event", "occurred", "happened", "purchased", "ordered", "order") && has(w, "at", "time", "timestamp", "ts", "date", "on"):
		score = 8
	case has(w, "ts", "timestamp", "time", "datetime", "occurred"):
		score = 6
	case has(w, "created"):
		score = 5
	case has(w, "at", "date", "day", "when"):
		score = 4
	case kind == "integer" || kind == "digits": // a big number of no telling name may be an id
		return 0, ""
	}
	if has(w, "updated", "modified", "ingested", "received", "loaded", "processed", "exported", "sent", "birth", "born", "dob", "expires", "expiry", "delivered", "shipped", "published", "registered", "signup", "first", "valid") {
		score = max(1, score-5)
	}
	return score, map[string]string{"declared": "a time", "text": "text that reads as times", "digits": "digits that are times since 1970", "integer": "integers of the size of times since 1970"}[kind] + named(score)
}

func named(score int) string {
	if score > 1 {
		return ", and its name"
	}
	return ""
}

// identifier reports whether a column can name things: text, whole numbers, decimals without digits behind the point.
func identifier(p *profile) bool {
	switch p.FileColumn.Type {
	case table.String, table.Int64:
		return true
	case table.Float64:
		return p.whole && strings.Contains(p.Logical, "Decimal")
	}
	return false
}

var (
	people   = []string{"user", "customer", "client", "member", "visitor", "shopper", "account", "household", "person", "subject", "patron", "buyer", "subscriber", "profile", "viewer", "listener", "reader", "consumer", "patient", "uid"}
	things   = []string{"sku", "item", "product", "article", "asin", "isbn", "ean", "gtin", "upc", "movie", "film", "track", "song", "video", "book", "content", "listing", "offer", "recipe", "game", "show", "variant", "material", "plu"}
	personal = []string{"email", "mail", "phone", "mobile", "tel", "telephone", "ip", "address", "street", "zip", "zipcode", "postcode", "postal", "firstname", "lastname", "surname", "fullname", "username", "birth", "birthday", "birthdate", "dob", "ssn", "iban", "passport", "lat", "latitude", "lon", "lng", "longitude", "gps", "cookie", "idfa", "gaid", "imei", "session", "fingerprint", "useragent"}
)

func subjectScore(p *profile, w []string) (int, string) {
	if !identifier(p) || p.List != "" || has(w, things...) || has(w, "type", "agent", "segment", "group", "country", "status") {
		return 0, ""
	}
	switch {
	case has(w, people...) && has(w, "id", "key", "number", "no", "code", "uid", "hash"):
		score := 8
		if has(w, "visitor", "profile") {
			score = 6
		}
		return score, "its name is that of somebody's id"
	case has(w, "uid"):
		return 7, "its name is that of somebody's id"
	case has(w, people...) && len(w) == 1:
		return 5, "its name"
	case has(w, "anonymous", "cookie", "device") && has(w, "id"):
		return 3, "its name is that of an id, though of a device"
	case p.share(p.email) > 0.5:
		return 1, "addresses, for want of an id"
	}
	return 0, ""
}

func itemScore(p *profile, w []string) (int, string) {
	if !identifier(p) || has(w, people...) || has(w, "name", "title", "category", "type", "price", "brand", "count", "quantity", "description", "url", "image") || p.share(p.nulls) == 1 {
		return 0, ""
	}
	score := 0
	switch {
	case has(w, "sku", "asin", "isbn", "ean", "gtin", "upc"):
		score = 7
	case has(w, things...) && has(w, "id", "key", "number", "no", "code"):
		score = 8
	case has(w, things...) && len(w) == 1:
		score = 5
	case p.List != "" && has(split(p.List), "items", "item", "products", "product", "lines", "basket", "cart", "articles") && len(w) > 0 && w[len(w)-1] == "id":
		score = 6
	}
	if score == 0 {
		return 0, ""
	}
	if p.values() == 0 || float64(p.nulls) > 0.5*float64(p.n) { // the other place where items stand is the one that is filled in
		score -= 4
	}
	where := ""
	if p.List != "" {
		where = ", in the list " + p.List + ", of which each element is an event"
	}
	return score, "its name is that of an item's id" + where
}

func kindScore(p *profile, w []string) (int, string) {
	if p.FileColumn.Type != table.String || p.List != "" || p.counts == nil || p.values() == 0 || timeKind(p) != "" {
		return 0, ""
	}
	if _, _, ok := kindsOf(p); !ok {
		return 0, ""
	}
	why := fmt.Sprintf("its name, and %d distinct values", p.distinct())
	switch {
	case has(w, "event") && has(w, "type", "name", "kind", "action"):
		return 8, why
	case len(w) == 1 && has(w, "event", "action", "kind", "verb", "interaction"):
		return 7, why
	case has(w, "interaction", "activity", "action") && has(w, "type", "kind", "name"):
		return 6, why
	case len(w) == 1 && has(w, "type", "typ"):
		return 3, why
	}
	return 0, ""
}

func number(p *profile) bool {
	return p.FileColumn.Type == table.Float64 || p.FileColumn.Type == table.Int64
}

func valueScore(p *profile, w []string) (int, string) {
	if !number(p) || has(w, "id", "code", "count", "quantity", "qty", "zip", "year", "age", "rank", "position", "index", "tax", "discount", "shipping") || p.values() == 0 {
		return 0, ""
	}
	score := 0
	switch {
	case has(w, "amount", "revenue", "spend", "sales", "turnover"):
		score = 6
	case has(w, "price", "value", "gross", "net"):
		score = 5
	case has(w, "total", "cost", "rating", "score"):
		score = 3
	}
	if score > 0 && p.List != "" {
		score += 4 // the part of it that is the element's
	}
	return score, "its name, and it holds numbers"
}

// contextRole is under which name a column may be read as context.
func contextRole(p *profile, w []string) string {
	if p.FileColumn.Type != table.String || p.counts == nil || p.values() == 0 {
		return ""
	}
	for _, r := range []struct {
		role  string
		names []string
	}{{"device", []string{"device", "platform", "os"}}, {"channel", []string{"channel", "source", "medium"}}, {"country", []string{"country"}}, {"store", []string{"store", "shop", "branch"}}} {
		if has(w, r.names...) && !has(w, "id", "version", "model", "agent") {
			return r.role
		}
	}
	return ""
}

// NamesID reports whether a column is by its name an id of somebody, or of what few people share: a household, a device, an order.
func NamesID(column string) bool {
	w := words(column)
	return (has(w, people...) || has(w, "device", "advertising", "anonymous", "order", "transaction", "receipt", "invoice", "basket", "session", "cookie")) && has(w, "id", "key", "number", "no", "code", "uid", "uuid", "hash")
}

// suspect says why a column may identify somebody, or hold what concerns a person, or returns "".
func suspect(p *profile, w []string, role string) string {
	most := func(n int64) bool { return n > 0 && p.share(n) > 0.5 }
	many := p.values() >= 100 && (p.distinct() >= mostDistinct || float64(p.distinct()) > 0.5*float64(p.values()))
	switch {
	case role == "subject":
		return "identifies the subject"
	case most(p.email):
		return "email addresses"
	case most(p.ip):
		return "IP addresses"
	case most(p.phone) && timeKind(p) == "":
		return "phone numbers"
	case has(w, personal...):
		return "by its name, personal data"
	case has(w, "name") && (has(w, people...) || has(w, "first", "last", "full", "middle") || len(w) == 1 && strings.Contains(p.Name, ".")):
		return "by its name, somebody's name"
	case has(w, people...) || has(w, "device", "advertising", "anonymous", "order", "transaction", "receipt", "invoice", "basket") && has(w, "id", "key", "number", "no", "code"):
		return "by its name, an id"
	case most(p.uuid):
		return "UUIDs, which are ids"
	case role == "item" || role == "value" || timeKind(p) != "" && role == "time":
		return ""
	case many && p.FileColumn.Type == table.String && timeKind(p) == "":
		return "many distinct values: ids, or text of people's own"
	case p.whole && number(p) && !plural(p) && !has(w, "price", "amount", "value", "quantity", "qty", "count", "total", "revenue", "cost", "tax", "discount", "rating", "score", "position", "rank"):
		return "whole numbers of which the name does not say that they count something: perhaps ids"
	case role == "" && (timeKind(p) == "declared" || timeKind(p) == "text") && decades(p):
		return "times that lie decades apart: perhaps dates of birth"
	}
	return ""
}

// plural reports whether a column has few values, each of which stands for many rows: what does not name one person.
func plural(p *profile) bool {
	return p.distinct() <= mostKinds && p.values() >= small*p.distinct()
}

// decades reports whether the times of a column span more than those of an export do: so long do people live.
func decades(p *profile) bool {
	early, late := p.early, p.late
	if timeKind(p) == "text" {
		early, late = p.formats[0].from, p.formats[0].through
	}
	return float64(late)-float64(early) > 20*365*24*float64(time.Hour/time.Microsecond)
}

func describe(p *profile, role, why string, m *Mapping) Column {
	c := Column{Name: p.Name, Type: p.Physical, List: p.List, Files: p.files, Distinct: p.distinct(), Role: role, Why: why, Problem: p.problem}
	if p.Logical != "" {
		logical, _, noted := strings.Cut(p.Logical, ", is_from_converted_type") // what the writer's library notes for itself
		if noted {
			logical += ")"
		}
		c.Type += " " + logical
	}
	if p.n > 0 {
		c.Nulls = float64(p.nulls) / float64(p.n)
	}
	w := words(p.Name)
	c.Suspected = suspect(p, w, role)
	if !slices.Contains([]string{"subject", "item", "time", "kind", "value"}, role) {
		c.Tells = tells(p)
	}
	if c.Role == "" {
		switch {
		case number(p) && has(w, "price", "amount", "revenue", "total"):
			c.Role = "price"
		case number(p) && has(w, "quantity", "qty", "count"):
			c.Role = "quantity"
		case has(w, "category", "department", "brand", "genre"):
			c.Role = "category"
		case timeKind(p) != "" && c.Suspected == "" && (timeKind(p) == "declared" || timeKind(p) == "text"):
			c.Role = "another time"
		}
	}
	isTime := role == "time" || timeKind(p) == "declared" || timeKind(p) == "text" && c.Suspected == ""
	if isTime && p.values() > 0 {
		c.Time = writtenAs(p)
	}
	if c.Suspected != "" || p.values() == 0 {
		return c
	}
	day := func(micros int64) string { return time.UnixMicro(micros).UTC().Format(time.RFC3339) }
	switch {
	case isTime && p.FileColumn.Type == table.Time, role == "time" && timeKind(p) == "digits":
		c.Min, c.Max = day(p.early), day(p.late)
	case isTime && timeKind(p) == "text" && len(p.formats) > 0 && (role != "time" || len(m.Candidates) == 0):
		c.Min, c.Max = day(p.formats[0].from), day(p.formats[0].through)
	case role == "time" && timeKind(p) == "integer":
		from, _ := p.units[0].of(p.least)
		to, _ := p.units[0].of(p.most)
		c.Min, c.Max = day(from), day(to)
	case number(p):
		c.Min, c.Max = strconv.FormatFloat(p.least, 'g', -1, 64), strconv.FormatFloat(p.most, 'g', -1, 64)
	}
	return c
}

// writtenAs says how a column's times are written.
func writtenAs(p *profile) string {
	zone := ", with an offset or in UTC"
	switch timeKind(p) {
	case "declared":
		if p.Local {
			zone = ", local times without a zone"
		}
		return "declared by the file" + zone
	case "digits":
		return p.units[0].name + " since 1970, as text"
	case "integer":
		return p.units[0].name + " since 1970"
	}
	var forms []string
	for _, f := range p.formats {
		form := f.text
		if form == "" {
			form = "ISO 8601"
		}
		forms = append(forms, form)
	}
	if p.formats[0].local {
		zone = ", local times without a zone"
	}
	return "text: " + strings.Join(forms[:min(len(forms), 3)], " or ") + zone
}

// times fills in how event times are written.
func (e *Export) times(p *profile, h Hints) {
	m := &e.Events
	m.Zone = h.Zone
	if p == nil {
		return
	}
	switch timeKind(p) {
	case "declared":
		m.LocalTimes = p.Local
	case "digits", "integer":
		m.TimeUnit = p.units[0].name
	case "text":
		m.TimeFormat = p.formats[0].text
		m.LocalTimes = p.formats[0].local
		for _, f := range p.formats[1:] { // other ways to read the same texts as other times
			if f.sum != p.formats[0].sum {
				m.Candidates = append(m.Candidates, f.text)
			}
		}
		if len(m.Candidates) > 0 {
			m.Candidates = append([]string{m.TimeFormat}, m.Candidates...)
			m.TimeFormat = ""
		}
	}
	if h.TimeFormat != "" {
		m.TimeFormat, m.Candidates, m.TimeUnit = h.TimeFormat, nil, ""
	}
	if kind := timeKind(p); !e.Dated && (kind == "digits" || kind == "text" && m.TimeFormat != "" && !strings.HasPrefix(m.TimeFormat, "%Y")) {
		e.Notes = append(e.Notes, "neither a path nor the statistics of such times say which days a file holds: every file is read for every day, and a new file is a change of every day within lookback; "+
			"put the date into the path, or write times as 2026-01-31T10:00:00Z")
	}
}

// kinds fills in the kinds of events and what they are called in a project.
func (e *Export) kinds(p *profile) {
	if p == nil {
		return
	}
	found, fewer, ok := kindsOf(p)
	if !ok {
		return
	}
	e.Kinds = found
	if fewer > 0 {
		e.Notes = append(e.Notes, fmt.Sprintf("%d kinds have fewer than %d rows in the sample, and are not shown; as kinds that a project does not name, they are left out", fewer, small))
	}
	e.Events.Kinds = map[string]string{}
	known := false
	for _, k := range found {
		e.Events.Kinds[k.Name] = called(k.Name)
		known = known || e.Events.Kinds[k.Name] != "-"
	}
	if !known { // a world of its own: its kinds keep their names
		for _, k := range found {
			e.Events.Kinds[k.Name] = strings.Join(split(k.Name), "_")
		}
	}
}

// called is the name of a kind in a project: view, click, cart, like or buy, or "-" for one that is none of these and is left out.
func called(kind string) string {
	w := split(kind)
	any := func(words ...string) bool {
		return slices.ContainsFunc(w, func(x string) bool {
			return slices.ContainsFunc(words, func(y string) bool { return x == y || len(y) > 3 && strings.HasPrefix(x, y) })
		})
	}
	switch {
	case any("remove", "delete", "cancel", "return", "refund", "fail", "dislike", "unlike", "start", "begin"):
		return "-"
	case any("purchase", "buy", "bought", "sale", "paid", "transaction") || any("order", "checkout", "payment") && any("complete", "place", "success", "confirm", "finish", "submit", "created") || len(w) == 1 && any("order"):
		return "buy"
	case any("cart", "basket", "bag"):
		return "cart"
	case any("wishlist", "favorite", "favourite", "like", "save", "bookmark"):
		return "like"
	case any("view", "pdp", "detail", "play", "watch", "read", "listen", "visit"):
		return "view"
	case any("click", "select"):
		return "click"
	}
	return "-"
}

// Weights of kinds, as init suggests them.
var weights = map[string]int{"view": 1, "click": 1, "like": 2, "cart": 2, "buy": 4}

// kindNames are the names that kinds are called by, the weightier first.
func (m Mapping) kindNames() []string {
	var out []string
	for _, k := range m.Kinds {
		if k != "-" && !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	slices.SortFunc(out, func(a, b string) int { return cmp.Or(cmp.Compare(weights[b], weights[a]), cmp.Compare(a, b)) })
	return out
}
