-- How far each walk got, and under the name "fence" the greatest number that
-- a sweeper wrote with.
create table sweep_state (
	name  text   not null primary key,
	fence bigint not null,
	place text   not null
);

-- Changes of acl or metadata that the index has not confirmed: the outbox of
-- what changes without a new generation.
create table attribute_changes (
	tenant     text   not null,
	document   text   not null,
	revision   bigint not null,
	emitted_at bigint not null,
	primary key (tenant, document)
);

create index attribute_changes_oldest on attribute_changes (emitted_at);

-- What the record does not know, and since when that was seen.
create table suspects (
	kind   text   not null,
	tenant text   not null,
	name   text   not null,
	since  bigint not null,
	primary key (kind, tenant, name)
);

create index document_blobs_by_key on document_blobs (tenant, blob_key);
