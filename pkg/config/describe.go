package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Setting is one effective value, for people.
type Setting struct {
	Name string `json:"name"`
	// Value is redacted for secrets.
	Value string `json:"value"`
	// Source is the variable it came from, or "default".
	Source string `json:"source"`
}

// Describe returns the settings of a T as [Load] would fill it, sorted by
// name. What follows from other settings, effective fills in, which may be nil,
// before the defaults.
func Describe[T any](vars Vars, effective func(*T)) []Setting {
	var out T
	v := reflect.ValueOf(&out).Elem()
	sources := map[string]string{}
	malformed := map[string]string{}
	walk(v, func(f field) {
		text, source, ok := f.text(vars)
		sources[f.names[0]] = source
		if ok && f.fill(text, source) != nil {
			malformed[f.names[0]] = text
		}
	})
	if effective != nil {
		effective(&out)
	}
	complete(v)
	var settings []Setting
	walk(v, func(f field) {
		name := f.names[0]
		value, bad := malformed[name]
		if !bad {
			value = show(f.value, f.fallback != "" || sources[name] != unset)
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

// show writes a value as its variable would hold it. A zero value that
// nothing says is "".
func show(v reflect.Value, said bool) string {
	if v.IsZero() && (!said || v.Kind() == reflect.Pointer) {
		return ""
	}
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
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
