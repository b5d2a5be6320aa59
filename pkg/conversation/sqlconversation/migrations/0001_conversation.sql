create table conversations (
	tenant     text   not null,
	owner      text   not null,
	id         text   not null,
	title      text   not null,
	turns      bigint not null,
	created_at bigint not null,
	updated_at bigint not null,
	primary key (tenant, owner, id)
);

create index conversations_last_used on conversations (tenant, owner, updated_at, id);
create index conversations_oldest on conversations (updated_at);

-- The answer without its sources, and those last: they are large, and most
-- reads do not want them.
create table turns (
	tenant       text   not null,
	owner        text   not null,
	id           text   not null,
	conversation text   not null,
	seq          bigint not null,
	status       text   not null check (status in ('queued', 'completed', 'failed', 'cancelled')),
	digest       text   not null,
	asked_at     bigint not null,
	deadline     bigint not null,
	waits_until  bigint not null,
	question     text   not null,
	answer       text   not null,
	sources      text,
	primary key (tenant, owner, id),
	foreign key (tenant, owner, conversation) references conversations (tenant, owner, id) on delete cascade
);

create unique index turns_in_order on turns (tenant, owner, conversation, seq);
-- waits_until is the deadline, and 2^63-1 once there is an answer, so that a
-- plain index finds what waits: a partial index makes SQLite plan every
-- statement with parameters on this table anew, each time it runs.
create index turns_unfinished on turns (waits_until);
