-- Which uploads were accepted under a key, until they are forgotten. There is no
-- foreign key: a key is entered before its document.
create table upload_keys (
	tenant     text   not null,
	upload_key text   not null,
	digest     text   not null,
	document   text   not null,
	created_at bigint not null,
	primary key (tenant, upload_key)
);

create index upload_keys_oldest on upload_keys (created_at);
