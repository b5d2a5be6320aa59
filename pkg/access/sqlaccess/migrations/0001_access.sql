-- Times are microseconds; 0 is never.
create table api_keys (
	id                  text   not null primary key,
	tenant              text   not null,
	name                text   not null,
	owner               text   not null,
	principals          text   not null,
	scopes              text   not null,
	requests_per_minute bigint not null check (requests_per_minute >= 0),
	tokens_per_day      bigint not null check (tokens_per_day >= 0),
	digest              text   not null,
	created_at          bigint not null,
	expires_at          bigint not null,
	last_used_at        bigint not null,
	revoked_at          bigint not null
);

create index api_keys_of_tenant on api_keys (tenant, id);

-- Days count from 1970-01-01, UTC.
create table token_usage (
	tenant  text   not null,
	account text   not null,
	day     bigint not null,
	tokens  bigint not null,
	primary key (tenant, account, day)
);

-- What makes the first charge of a request the only one.
create table token_charges (
	tenant  text   not null,
	account text   not null,
	day     bigint not null,
	request text   not null,
	tokens  bigint not null,
	primary key (tenant, account, day, request)
);

create index token_charges_by_day on token_charges (day);
