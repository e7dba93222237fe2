package eval

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/storage/table"
)

// plain prints a metric's value: 0.0426.
func plain(x float64) string { return minus(strconv.FormatFloat(x, 'f', 4, 64)) }

// signed prints a difference: +0.0103, −0.0021.
func signed(x float64) string { return minus(fmt.Sprintf("%+.4f", x)) }

// percent prints a share: 14.9 %.
func percent(x float64) string { return minus(strconv.FormatFloat(100*x, 'f', 1, 64)) + " %" }

// minus sets the typographic minus sign, and none before a zero.
func minus(s string) string {
	if strings.HasPrefix(s, "-") {
		if strings.Trim(s, "-0.") == "" {
			return s[1:]
		}
		return "−" + s[1:]
	}
	return s
}

// count prints a whole number with thousands set apart: 12,345.
func count[T int | int64](n T) string {
	s := strconv.FormatInt(int64(n), 10)
	sign := ""
	if n < 0 {
		sign, s = "−", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// figure prints a value with its interval: "12.0 % (95 % interval 8.1 % to 16.0 %)".
func figure(value, low, high *float64, show func(float64) string) string {
	if value == nil {
		return "not known"
	}
	if low == nil || high == nil {
		return show(*value)
	}
	return fmt.Sprintf("%s (%d %% interval %s to %s)", show(*value), int(math.Round(100*Confidence)), show(*low), show(*high))
}

// amount prints a number of any size to four digits or the whole.
func amount(x float64) string {
	if math.Abs(x) >= 1000 && math.Abs(x) < 1e15 {
		return count(int64(math.Round(x)))
	}
	return minus(strconv.FormatFloat(x, 'g', 4, 64))
}

func optional(x *float64, show func(float64) string) string {
	if x == nil {
		return "—"
	}
	return show(*x)
}

func thousandths(x float64) string { return minus(strconv.FormatFloat(x, 'f', 3, 64)) }

// Probability prints a p: 0.049, and one under a thousandth as such.
func Probability(p float64) string {
	if p < 0.001 {
		return "< 0.001"
	}
	return thousandths(p)
}

func printTime(t time.Time) string {
	if t.IsZero() {
		return "—"
	}
	return t.UTC().Format("2006-01-02 15:04 UTC")
}

// printInterval prints whole days as days, the end excluded and said so, and a single day as itself.
func printInterval(iv table.Interval) string {
	if iv.Start.IsZero() && iv.End.IsZero() {
		return "—"
	}
	s, e := iv.Start.UTC(), iv.End.UTC()
	if s.Truncate(24*time.Hour).Equal(s) && e.Truncate(24*time.Hour).Equal(e) {
		if e.Sub(s) == 24*time.Hour {
			return s.Format(time.DateOnly)
		}
		return s.Format(time.DateOnly) + " up to, not including, " + e.Format(time.DateOnly)
	}
	return printTime(s) + " up to, not including, " + printTime(e)
}

// list joins names: "a, b and c".
func list(names []string) string {
	if n := len(names); n > 1 {
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
	return strings.Join(names, "")
}

// printed sets thousands apart in a number that was printed without.
func printed(s string) string {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return count(n)
	}
	return s
}

// contribution prints a part of a score, however small.
func contribution(x float64) string {
	if x != 0 && math.Abs(x) < 0.00005 {
		return minus(fmt.Sprintf("%+.1g", x))
	}
	return signed(x)
}

// capital begins a text of ASCII letters with a capital.
func capital(s string) string { return strings.ToUpper(s[:min(1, len(s))]) + s[min(1, len(s)):] }

// plainName prints a column's or a cohort's name as words.
func plainName(s string) string { return strings.ReplaceAll(s, "_", " ") }

// reasonNames say in words what a stage of the policy funnel is.
var reasonNames = map[string]string{
	"read": "read", "kept": "kept", "bad_row": "rows without a person, an item or a time", "no_purpose": "no purpose reads them",
	"no_record": "no consent on record", "refused": "people refused or withdrew", "expired": "consent had expired", "past_retention": "older than may be kept",
	"erased": "people were erased", "not_yet_valid": "from before consent began",
	"protected": "people who are never profiled", "sensitive_item": "of sensitive items, without consent to that",
}

func reasonName(reason string) string {
	if s, ok := reasonNames[reason]; ok {
		return s
	}
	return plainName(reason)
}

// partNames say in words what the parts of a blend look at; a part that is not among them is shown by its name alone.
var partNames = map[string]string{
	"popular": "what everybody takes lately", "again": "what this person takes again and again, and how long ago", "als": "what people with a similar history take",
	"ease": "items that are taken together", "content": "items like those taken before, by their attributes", "next": "what people take next after the last item",
}

// sourceName says in words what an additive part of a score is due to.
func sourceName(kind, ref string) string {
	switch kind {
	case "event":
		return "having taken " + ref
	case "again":
		return "taking " + ref + " again"
	case "popularity":
		return "popularity of " + ref
	case "attribute":
		return "attribute " + ref
	case "bias":
		if ref == "" {
			ref = "everybody"
		}
		return "the same for " + ref
	case "neural":
		return "neural correction"
	}
	return strings.TrimSpace(plainName(kind) + " " + ref)
}
