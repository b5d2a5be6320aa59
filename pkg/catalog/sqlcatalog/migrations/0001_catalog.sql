create table documents (
	tenant       text   not null,
	id           text   not null,
	generation   bigint not null check (generation > 0),
	status       text   not null check (status in ('accepted', 'extracting', 'embedding', 'indexed', 'failed', 'deleting', 'deleted')),
	collection   text   not null,
	title        text   not null,
	found_title  text   not null,
	filename     text   not null,
	source       text   not null,
	media_type   text   not null,
	bytes        bigint not null,
	sha256       text   not null,
	blob_key     text   not null,
	chunks       bigint not null,
	embedded     bigint not null,
	pages        bigint not null,
	failure      text,
	warnings     text   not null,
	metadata     text   not null,
	acl          text,
	live_version text   not null,
	created_at   bigint not null,
	updated_at   bigint not null,
	indexed_at   bigint not null,
	moved_at     bigint not null,
	primary key (tenant, id)
);

create index documents_newest on documents (tenant, created_at, id);
create index documents_newest_of_collection on documents (tenant, collection, created_at, id);
create index documents_newest_of_status on documents (tenant, status, created_at, id);
-- moved_at is 2^63-1 for settled documents, so that a plain index finds the
-- others: a partial index makes SQLite plan every statement with parameters
-- on this table anew, each time it runs.
create index documents_unsettled on documents (moved_at);

-- Who may see a document, one row for each principal; '*' for everyone in the tenant.
create table document_principals (
	tenant    text not null,
	document  text not null,
	principal text not null,
	primary key (tenant, document, principal),
	foreign key (tenant, document) references documents (tenant, id) on delete cascade
);

-- Every accepted upload's bytes, until somebody has deleted them.
create table document_blobs (
	tenant   text not null,
	document text not null,
	blob_key text not null,
	primary key (tenant, document, blob_key)
);

create table chunks (
	tenant     text   not null,
	document   text   not null,
	version    text   not null,
	ordinal    bigint not null check (ordinal >= 0),
	page       bigint not null,
	char_start bigint not null,
	char_end   bigint not null,
	section    text   not null,
	body       text   not null,
	primary key (tenant, document, version, ordinal)
);

create table batches (
	tenant        text   not null,
	document      text   not null,
	generation    bigint not null,
	number        bigint not null,
	first_ordinal bigint not null,
	end_ordinal   bigint not null,
	done          bigint not null check (done in (0, 1)),
	primary key (tenant, document, generation, number)
);

create table vectors (
	tenant  text  not null,
	profile text  not null,
	hash    text  not null,
	vector  bytea not null,
	primary key (tenant, profile, hash)
);

-- Which documents use a vector, and the last generation of each that did.
create table vector_uses (
	tenant     text   not null,
	document   text   not null,
	profile    text   not null,
	hash       text   not null,
	generation bigint not null,
	primary key (tenant, document, profile, hash)
);

create index vector_uses_by_hash on vector_uses (tenant, profile, hash);
