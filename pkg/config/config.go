// Package config fills settings structs from environment variables: the one
// place that reads them. Every problem is reported at once, by variable, and
// unknown RAGBUS_* variables are refused, because a setting that is silently
// ignored is worse than none.
package config

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Prefix is that of our own variables.
const Prefix = "RAGBUS_"

// Vars are environment variables by name.
type Vars map[string]string

// Environ converts the form of os.Environ.
func Environ(list []string) Vars {
	vars := make(Vars, len(list))
	for _, kv := range list {
		if name, value, ok := strings.Cut(kv, "="); ok {
			vars[name] = value
		}
	}
	return vars
}

// Validator is implemented by settings structs whose fields depend on each other.
type Validator interface {
	// Validate returns all problems, joined.
	Validate() error
}

// Load returns a T filled from vars. Fields are found by the tags
//
//	env:"NAME,OTHER_NAME"   the variables, the first one set wins
//	envDefault:"value"      used when none is set
//	envZero:"meaning"       what a number's zero means, when somebody sets it
//
// in T and in its nested structs. Supported are strings, booleans, integers,
// floats, time.Duration, slices of strings (comma-separated), every type
// that implements encoding.TextUnmarshaler, and pointers to these, which are
// nil when nothing is set. Every [Validator] in T is asked.
//
// A variable that sets a number to zero is refused unless the field has
// envZero or is a pointer: elsewhere zero is the mark of what nobody has set,
// and the default would silently take its place.
//
// The error joins all problems, each once; T is then unusable.
func Load[T any](vars Vars) (T, error) {
	var out T
	v := reflect.ValueOf(&out).Elem()
	var problems []error
	known := map[string]bool{}
	walk(v, func(f field) {
		for _, name := range f.names {
			known[name] = true
		}
		text, source, ok := f.text(vars)
		if !ok {
			return
		}
		if err := f.fill(text, source); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", source, err))
			// The validators go on with the default, lest they complain of what nobody has set.
			f.value.SetZero()
			if f.fallback != "" && set(f.value, f.fallback) != nil {
				f.value.SetZero()
			}
		}
	})
	for name := range vars {
		if strings.HasPrefix(name, Prefix) && !known[name] {
			problems = append(problems, unknown(name, known))
		}
	}
	return out, errors.Join(each(append(problems, validate(v)...))...)
}

// each takes joined problems apart and sorts them. A variable that several
// structs have is reported by all of them, and told of once.
func each(problems []error) []error {
	var out []error
	for _, p := range problems {
		// What wraps several may also say more than they do: it stays whole.
		if joined, ok := p.(interface{ Unwrap() []error }); ok && errors.Join(joined.Unwrap()...).Error() == p.Error() {
			out = append(out, each(joined.Unwrap())...)
			continue
		}
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return slices.CompactFunc(out, func(a, b error) bool { return a.Error() == b.Error() })
}

// field is a struct field that variables fill.
type field struct {
	value    reflect.Value
	names    []string
	fallback string
	// zero says that a number may be set to zero.
	zero bool
}

// unset is the source of a value that comes from no variable.
const unset = "default"

// fill sets the field to what its source says.
func (f field) fill(text, source string) error {
	if err := set(f.value, text); err != nil {
		return err
	}
	if source != unset && !f.zero && f.value.IsZero() && (f.value.CanInt() || f.value.CanFloat()) {
		return fmt.Errorf("%s is not possible; leave it out for the default", text)
	}
	return nil
}

func (f field) text(vars Vars) (text, source string, ok bool) {
	for _, name := range f.names {
		if v, set := vars[name]; set && v != "" {
			return v, name, true
		}
	}
	return f.fallback, unset, f.fallback != ""
}

func walk(v reflect.Value, visit func(field)) {
	for i := range v.NumField() {
		sf := v.Type().Field(i)
		if !sf.IsExported() {
			continue
		}
		if tag, ok := sf.Tag.Lookup("env"); ok {
			_, zero := sf.Tag.Lookup("envZero")
			visit(field{value: v.Field(i), names: strings.Split(tag, ","), fallback: sf.Tag.Get("envDefault"), zero: zero})
			continue
		}
		if v.Field(i).Kind() == reflect.Struct {
			walk(v.Field(i), visit)
		}
	}
}

func validate(v reflect.Value) []error {
	var problems []error
	for i := range v.NumField() {
		if f := v.Field(i); v.Type().Field(i).IsExported() && f.Kind() == reflect.Struct {
			problems = append(problems, validate(f)...)
		}
	}
	if check, ok := reflect.TypeAssert[Validator](v.Addr()); ok {
		if err := check.Validate(); err != nil {
			problems = append(problems, err)
		}
	}
	return problems
}

func set(v reflect.Value, text string) error {
	if u, ok := reflect.TypeAssert[encoding.TextUnmarshaler](v.Addr()); ok {
		if err := u.UnmarshalText([]byte(text)); err != nil {
			return fmt.Errorf("%q: %w", text, err)
		}
		return nil
	}
	if v.Type() == reflect.TypeFor[time.Duration]() {
		d, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("%q is not a duration such as 500ms, 10s or 5m", text)
		}
		v.SetInt(int64(d))
		return nil
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q is not true or false", text)
		}
		v.SetBool(b)
	case reflect.Int, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, v.Type().Bits())
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		v.SetInt(n)
	case reflect.Float64:
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return fmt.Errorf("%q is not a number", text)
		}
		v.SetFloat(n)
	case reflect.Slice:
		return setList(v, text)
	case reflect.Pointer:
		to := reflect.New(v.Type().Elem())
		if err := set(to.Elem(), text); err != nil {
			return err
		}
		v.Set(to)
	default:
		panic(fmt.Sprintf("config: no way to fill a %s", v.Type()))
	}
	return nil
}

func setList(v reflect.Value, text string) error {
	if v.Type().Elem().Kind() != reflect.String {
		panic(fmt.Sprintf("config: no way to fill a %s", v.Type()))
	}
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			v.Set(reflect.Append(v, reflect.ValueOf(part).Convert(v.Type().Elem())))
		}
	}
	return nil
}

// unknown names the nearest known variable, since most unknown ones are typing errors.
func unknown(name string, known map[string]bool) error {
	// A third of the name may be wrong: short ones are near to everything.
	best, distance := "", 2+(len(name)-len(Prefix))/3
	for k := range known {
		if d := editDistance(name, k); d < distance || d == distance && k < best {
			best, distance = k, d
		}
	}
	if best != "" {
		return fmt.Errorf("%s is not a setting of this program; did you mean %s?", name, best)
	}
	return fmt.Errorf("%s is not a setting of this program; docs/operations.md says which there are", name)
}

// editDistance is Levenshtein's, over bytes.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
