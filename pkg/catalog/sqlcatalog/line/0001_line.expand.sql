-- Ingestion work that waits for room in the queue, in order of place. number
-- is a document's generation, or a revision of its description.
create table line (
	tenant   text   not null,
	step     text   not null check (step in ('extract', 'embed', 'remove', 'describe')),
	document text   not null,
	number   bigint not null,
	next     bigint not null,
	salt     text   not null,
	since    bigint not null,
	primary key (tenant, step, document)
);

create index line_in_order on line (tenant, step, since, document);
