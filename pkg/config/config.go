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
//
// in T and in its nested structs. Supported are strings, booleans, integers,
// floats, time.Duration, slices of strings (comma-separated) and every type
// that implements encoding.TextUnmarshaler. Every [Validator] in T is asked.
// The error joins all problems; T is then unusable.
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
		if err := set(f.value, text); err != nil {
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
	problems = append(problems, validate(v)...)
	slices.SortFunc(problems, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return out, errors.Join(problems...)
}

// Setting is one effective value, for people.
type Setting struct {
	Name string `json:"name"`
	// Value is redacted for secrets.
	Value string `json:"value"`
	// Source is the variable it came from, or "default".
	Source string `json:"source"`
}

// Describe returns the settings of a T as [Load] would fill it, sorted by name.
func Describe[T any](vars Vars) []Setting {
	var out T
	v := reflect.ValueOf(&out).Elem()
	sources := map[string]string{}
	malformed := map[string]string{}
	walk(v, func(f field) {
		text, source, ok := f.text(vars)
		sources[f.names[0]] = source
		if ok && set(f.value, text) != nil {
			malformed[f.names[0]] = text
		}
	})
	complete(v)
	var settings []Setting
	walk(v, func(f field) {
		name := f.names[0]
		value, bad := malformed[name]
		if !bad {
			value = show(f.value)
		}
		settings = append(settings, Setting{Name: name, Value: value, Source: sources[name]})
	})
	slices.SortFunc(settings, func(a, b Setting) int { return strings.Compare(a.Name, b.Name) })
	return slices.CompactFunc(settings, func(a, b Setting) bool { return a.Name == b.Name })
}

// complete calls WithDefaults on every struct that has it, so that people see
// the values that count and not only those that were set.
func complete(v reflect.Value) {
	for i := range v.NumField() {
		f := v.Field(i)
		if !v.Type().Field(i).IsExported() || f.Kind() != reflect.Struct {
			continue
		}
		complete(f)
		if m := f.MethodByName("WithDefaults"); m.IsValid() && m.Type().NumIn() == 0 && m.Type().NumOut() == 1 && m.Type().Out(0) == f.Type() {
			f.Set(m.Call(nil)[0])
		}
	}
}

// show writes a value as its variable would hold it; zero values are "".
func show(v reflect.Value) string {
	if v.IsZero() {
		return ""
	}
	if v.Kind() == reflect.Slice {
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = fmt.Sprint(v.Index(i).Interface())
		}
		return strings.Join(parts, ",")
	}
	return fmt.Sprint(v.Interface())
}

// field is a struct field that variables fill.
type field struct {
	value    reflect.Value
	names    []string
	fallback string
}

func (f field) text(vars Vars) (text, source string, ok bool) {
	for _, name := range f.names {
		if v, set := vars[name]; set && v != "" {
			return v, name, true
		}
	}
	return f.fallback, "default", f.fallback != ""
}

func walk(v reflect.Value, visit func(field)) {
	for i := range v.NumField() {
		sf := v.Type().Field(i)
		if !sf.IsExported() {
			continue
		}
		if tag, ok := sf.Tag.Lookup("env"); ok {
			visit(field{value: v.Field(i), names: strings.Split(tag, ","), fallback: sf.Tag.Get("envDefault")})
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
		return fmt.Errorf("%s is not a setting; did you mean %s?", name, best)
	}
	return fmt.Errorf("%s is not a setting; `ragbus config` lists them", name)
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
