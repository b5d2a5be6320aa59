package gateway

import (
	"strings"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/access"
	"github.com/ragbus/ragbus/pkg/config"
)

func TestDefaultsValidateAndAreTheSameFromCode(t *testing.T) {
	t.Parallel()
	loaded, err := config.Load[Config](config.Vars{})
	must(t, err)
	made := Config{}.WithDefaults()
	if loaded.ChatDeadline != time.Minute || loaded.MaxUploadBytes != 100<<20 || loaded.ListenAddr() != DefaultAddr || made.MaxChats != loaded.MaxChats ||
		made.ShutdownGrace != loaded.ShutdownGrace || made.Auth != access.AuthNone {
		t.Fatalf("%+v\n%+v", loaded, made)
	}
}

func TestSettingsThatCannotWorkAreRefused(t *testing.T) {
	t.Parallel()
	cases := []struct {
		vars config.Vars
		want string
	}{
		{config.Vars{"RAGBUS_AUTH": "x"}, `"x" is not known`},
		{config.Vars{"RAGBUS_HTTP_ADDR": ":8080"}, "listen on a loopback address such as 127.0.0.1:8080"},
		{config.Vars{"RAGBUS_HTTP_ADDR": "0.0.0.0:80"}, "can be reached by other machines"},
		{config.Vars{"RAGBUS_HTTP_ADDR": "[::]:80"}, "can be reached by other machines"},
		{config.Vars{"RAGBUS_HTTP_ADDR": "10.0.0.1:80"}, "can be reached by other machines"},
		{config.Vars{"RAGBUS_HTTP_ADDR": "localhost"}, "is not host:port"},
		{config.Vars{"RAGBUS_HTTP_ADDR": "localhost:http"}, "no port"},
		{config.Vars{"PORT": "http"}, "PORT"},
		{config.Vars{"RAGBUS_CORS_ORIGINS": "*"}, "RAGBUS_CORS_ORIGINS"},
		{config.Vars{"RAGBUS_CORS_ORIGINS": "*,https://a.example", "RAGBUS_AUTH": "keys"}, "RAGBUS_CORS_ORIGINS"},
		{config.Vars{"RAGBUS_CORS_ORIGINS": "null", "RAGBUS_AUTH": "keys"}, "RAGBUS_CORS_ORIGINS"},
		{config.Vars{"RAGBUS_CORS_ORIGINS": "https://a.example/"}, "RAGBUS_CORS_ORIGINS"},
		{config.Vars{"RAGBUS_MAX_UPLOAD_BYTES": "10"}, "RAGBUS_MAX_UPLOAD_BYTES"},
		{config.Vars{"RAGBUS_MAX_CHATS": "0"}, "RAGBUS_MAX_CHATS"},
		{config.Vars{"RAGBUS_CHAT_DEADLINE": "1h"}, "RAGBUS_CHAT_DEADLINE"},
		{config.Vars{"RAGBUS_SEARCH_TIMEOUT": "0s"}, "RAGBUS_SEARCH_TIMEOUT"},
		{config.Vars{"RAGBUS_READER_GRACE": "1h"}, "RAGBUS_READER_GRACE"},
	}
	for _, c := range cases {
		if _, err := config.Load[Config](c.vars); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v", c.vars, err)
		}
	}
	_, err := config.Load[Config](config.Vars{"RAGBUS_AUTH": "x", "RAGBUS_MAX_CHATS": "-1", "PORT": "x"})
	if err == nil || strings.Count(err.Error(), "\n") < 2 {
		t.Errorf("not all problems at once: %v", err)
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"127.0.0.1:0", "localhost:8080", "[::1]:80", "127.9.9.9:1", "[::ffff:127.0.0.1]:1"} {
		if err := checkAddr(addr, access.AuthNone); err != nil {
			t.Error(err)
		}
	}
	if got := (Config{Port: "9000"}).ListenAddr(); got != "127.0.0.1:9000" {
		t.Error(got)
	}
	if got := (Config{Port: "9000", Addr: "localhost:1"}).ListenAddr(); got != "localhost:1" {
		t.Error(got)
	}
}

func TestATakenPortIsNamed(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve()
	svc, err := New(Config{Addr: g.svc.Addr()}, Deps{Broker: s.bus.Conn})
	must(t, err)
	if err := svc.Listen(t.Context()); err == nil || !strings.Contains(err.Error(), "address already in use") || !strings.Contains(err.Error(), g.svc.Addr()) {
		t.Fatal(err)
	}
}

func TestKeysMayListenToEverybody(t *testing.T) {
	t.Parallel()
	for _, auth := range []string{access.AuthKeys, access.AuthJWT} {
		if _, err := config.Load[Config](config.Vars{"RAGBUS_AUTH": auth, "RAGBUS_HTTP_ADDR": ":8080", "RAGBUS_CORS_ORIGINS": "*"}); err != nil {
			t.Error(err)
		}
	}
}
