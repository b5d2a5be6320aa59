#!/bin/sh
# Runs once, in an empty database server: the role of the services owns its
# database and is no superuser, so that row-level security binds it.
set -eu
psql --username postgres --set ON_ERROR_STOP=1 --set password="$RAGBUS_DB_PASSWORD" <<'SQL'
create role ragbus login nosuperuser nocreatedb nocreaterole nobypassrls password :'password';
create database ragbus owner ragbus;
SQL
