package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type inner struct {
	Wait time.Duration `env:"RAGBUS_WAIT" envDefault:"5s"`
	Size Bytes         `env:"RAGBUS_SIZE" envDefault:"1MiB"`
}

func (c *inner) Validate() error {
	if c.Wait > time.Minute {
		return errors.New("RAGBUS_WAIT: at most 1m")
	}
	return nil
}

type settings struct {
	Addr   string   `env:"RAGBUS_HTTP_ADDR,PORT" envDefault:":8080"`
	Key    Secret   `env:"OTHER_KEY"`
	On     bool     `env:"RAGBUS_ON"`
	Count  int      `env:"RAGBUS_COUNT"`
	Share  float64  `env:"RAGBUS_SHARE"`
	Names  []string `env:"RAGBUS_NAMES"`
	Inner  inner
	hidden string
}

func TestLoadFillsFieldsAndDefaults(t *testing.T) {
	t.Parallel()
	got, err := Load[settings](Environ([]string{
		"PORT=9", "OTHER_KEY=hush", "RAGBUS_ON=true", "RAGBUS_COUNT=3", "RAGBUS_SHARE=0.5", "RAGBUS_NAMES=a, b,", "RAGBUS_WAIT=1s", "HOME=/x",
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := settings{Addr: "9", Key: "hush", On: true, Count: 3, Share: 0.5, Names: []string{"a", "b"}, Inner: inner{Wait: time.Second, Size: 1 << 20}}
	if diff := cmp.Diff(fmt.Sprintf("%#v", want), fmt.Sprintf("%#v", got)); diff != "" {
		t.Error(diff)
	}
	if got.Key.Reveal() != "hush" || got.hidden != "" {
		t.Errorf("key %q", got.Key.Reveal())
	}
}

func TestLoadReportsEveryProblemAtOnce(t *testing.T) {
	t.Parallel()
	_, err := Load[settings](Vars{"RAGBUS_COUNT": "many", "RAGBUS_WAIT": "long", "RAGBUS_SIZE": "big", "RAGBUS_NAMSE": "x", "RAGBUS_ON": "si", "RAGBUS_SHARE": "half"})
	for _, want := range []string{
		`RAGBUS_COUNT: "many" is not a whole number`, `RAGBUS_WAIT: "long" is not a duration`, `RAGBUS_SIZE: "big": not a size`,
		"RAGBUS_NAMSE is not a setting of this program; did you mean RAGBUS_NAMES?", "RAGBUS_ON:", "RAGBUS_SHARE:",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in: %v", want, err)
		}
	}
}

type zeros struct {
	Slots  int           `env:"RAGBUS_SLOTS"`
	Pause  time.Duration `env:"RAGBUS_PAUSE"  envDefault:"3s"`
	Room   Bytes         `env:"RAGBUS_ROOM"`
	Share  float64       `env:"RAGBUS_SHARE"`
	Limit  int           `env:"RAGBUS_LIMIT"  envZero:"no limit"`
	Warmth *float64      `env:"RAGBUS_WARMTH"`
	On     bool          `env:"RAGBUS_ON"`
}

func TestANumberIsZeroOnlyWhereZeroMeansSomething(t *testing.T) {
	t.Parallel()
	_, err := Load[zeros](Vars{
		"RAGBUS_SLOTS": "0", "RAGBUS_PAUSE": "0s", "RAGBUS_ROOM": "0KiB", "RAGBUS_SHARE": "0.0", "RAGBUS_LIMIT": "0", "RAGBUS_WARMTH": "0", "RAGBUS_ON": "false",
	})
	for _, want := range []string{
		"RAGBUS_SLOTS: 0 is not possible; leave it out for the default", "RAGBUS_PAUSE: 0s is not", "RAGBUS_ROOM: 0KiB is not", "RAGBUS_SHARE: 0.0 is not",
	} {
		if err == nil || !strings.Contains(err.Error(), want) || strings.Count(err.Error(), "\n") != 3 {
			t.Errorf("%q is missing in: %v", want, err)
		}
	}
	got, err := Load[zeros](Vars{"RAGBUS_LIMIT": "0", "RAGBUS_WARMTH": "0"})
	if err != nil || got.Warmth == nil || *got.Warmth != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := Load[zeros](Vars{}); err != nil || got.Warmth != nil || got.Slots != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	shown := Describe[zeros](Vars{"RAGBUS_LIMIT": "0", "RAGBUS_WARMTH": "0", "RAGBUS_SLOTS": "0"}, nil)
	want := []Setting{
		{"RAGBUS_LIMIT", "0", "RAGBUS_LIMIT"},
		{"RAGBUS_ON", "", "default"},
		{"RAGBUS_PAUSE", "3s", "default"},
		{"RAGBUS_ROOM", "", "default"},
		{"RAGBUS_SHARE", "", "default"},
		{"RAGBUS_SLOTS", "0", "RAGBUS_SLOTS"},
		{"RAGBUS_WARMTH", "0", "RAGBUS_WARMTH"},
	}
	if diff := cmp.Diff(want, shown); diff != "" {
		t.Error(diff)
	}
}

func TestAVariableThatSeveralStructsHaveIsToldOfOnce(t *testing.T) {
	t.Parallel()
	type service struct {
		Other late
		Inner inner
	}
	type all struct{ A, B service }
	for _, wait := range []string{"long", "2m"} {
		if _, err := Load[all](Vars{"RAGBUS_WAIT": wait, "RAGBUS_SLOTS": "x"}); err == nil || strings.Count(err.Error(), "\n") != 1 {
			t.Errorf("%s: %v", wait, err)
		}
	}
}

func TestLoadAsksNestedValidators(t *testing.T) {
	t.Parallel()
	if _, err := Load[settings](Vars{"RAGBUS_WAIT": "2m"}); err == nil || !strings.Contains(err.Error(), "at most 1m") {
		t.Errorf("got %v", err)
	}
}

func TestSecretsAreNeverPrinted(t *testing.T) {
	t.Parallel()
	s := Secret("hush")
	j, err := json.Marshal(map[string]any{"k": s})
	if err != nil {
		t.Fatal(err)
	}
	out := fmt.Sprintf("%s %v %+v %#v %q %s", s, s, struct{ K Secret }{s}, s, s, j)
	for _, line := range Describe[settings](Vars{"OTHER_KEY": "hush"}, nil) {
		out += line.Value
	}
	if strings.Contains(out, "hush") || s.LogValue().String() != redacted {
		t.Errorf("leaked: %s", out)
	}
}

type late struct {
	Slots int           `env:"RAGBUS_SLOTS"`
	Pause time.Duration `env:"RAGBUS_PAUSE"`
}

func (l late) WithDefaults() late {
	if l.Slots == 0 {
		l.Slots = 4
	}
	return l
}

func TestDescribeShowsWhatCounts(t *testing.T) {
	t.Parallel()
	type all struct {
		Late  late
		Names []string `env:"RAGBUS_NAMES"`
		Key   Secret   `env:"OTHER_KEY"`
	}
	got := Describe[all](Vars{"RAGBUS_PAUSE": "long", "RAGBUS_NAMES": "a, b", "OTHER_KEY": "hush"}, func(a *all) { a.Names = append(a.Names, "c") })
	want := []Setting{
		{"OTHER_KEY", redacted, "OTHER_KEY"},
		{"RAGBUS_NAMES", "a,b,c", "RAGBUS_NAMES"},
		{"RAGBUS_PAUSE", "long", "RAGBUS_PAUSE"},
		{"RAGBUS_SLOTS", "4", "default"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDescribeNamesTheSource(t *testing.T) {
	t.Parallel()
	want := Setting{Name: "RAGBUS_HTTP_ADDR", Value: "9", Source: "PORT"}
	for _, s := range Describe[settings](Vars{"PORT": "9"}, nil) {
		if s.Name == want.Name && s != want {
			t.Errorf("got %+v, want %+v", s, want)
		}
	}
}

func TestBytesRoundTrip(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Bytes{"0": 0, "17": 17, "3KiB": 3 << 10, "100MiB": 100 << 20, "2 GiB": 2 << 30, "5MB": 5e6} {
		var b Bytes
		if err := b.UnmarshalText([]byte(text)); err != nil || b != want {
			t.Errorf("%s: %d, %v", text, b, err)
		}
		var again Bytes
		if err := again.UnmarshalText([]byte(b.String())); err != nil || again != b {
			t.Errorf("%s: %s is read as %d, %v", text, b, again, err)
		}
	}
	for _, text := range []string{"", "-1", "1.5MiB", "99999999999GiB", "x"} {
		var b Bytes
		if err := b.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was accepted as %d", text, b)
		}
	}
}
